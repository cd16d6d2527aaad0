// Control characters, zero-width characters and those that change the direction of text.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]|[\u{e0000}-\u{e007f}]/gu // oxlint-disable-line no-control-regex -- that is what it looks for

/** Show characters that can hide or reorder text as their code point: ⟨U+202E⟩. */
export const visible = (text: string): string =>
  text.replace(HIDDEN, (hidden) => `\u27e8U+${(hidden.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}\u27e9`)
