// `crypto.randomUUID` exists on https and localhost only; an engine in a private network may be plain http.

/** Return a random id of 128 bits, as 32 hexadecimal digits. */
export const newId = (): string =>
  [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('')
