/**
 * Copy the text. Resolves with whether that worked.
 *
 * `navigator.clipboard` exists on https and localhost only, and may be refused; then a selection is copied.
 */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text)
    return true
  } catch {
    return copySelection(text)
  }
}

function copySelection(text: string): boolean {
  const opener = document.activeElement
  const field = document.createElement('textarea')
  field.value = text
  field.readOnly = true
  field.className = 'visually-hidden'
  // Inside an open dialog, everything outside of it is inert and can't be selected.
  const place = opener?.closest('dialog') ?? document.body
  place.append(field)
  field.select()
  const copied = document.execCommand('copy')
  field.remove()
  if (opener instanceof HTMLElement) opener.focus({ preventScroll: true })
  return copied
}
