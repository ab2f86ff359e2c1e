/** An error as pg makes it of an ErrorResponse. */
export function serverError(code: string, fields: { readonly where?: string } = {}): Error {
  return Object.assign(new Error(`server error ${code}`), { severity: 'ERROR', code, ...fields })
}
