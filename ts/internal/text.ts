// Text that can be stored: every string but those with half a character.

const half = /\p{Surrogate}/u

/** Whether a string has no lone surrogates and so survives UTF-8. */
export function isWellFormed(text: string): boolean {
  return !half.test(text)
}
