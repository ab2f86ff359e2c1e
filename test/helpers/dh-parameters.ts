import { getDiffieHellman } from 'node:crypto'
import { sequence, unsignedOf } from '../../pki/der-writer.ts'
import { toPem } from '../../pki/pem.ts'

/** A group of RFC 3526 as `openssl dhparam` writes it. */
export function dhParameters(group: string): string {
  const known = getDiffieHellman(group)
  const numbers = [known.getPrime(), known.getGenerator()]
  return toPem('DH PARAMETERS', sequence(...numbers.map(unsignedOf)))
}
