/** `midge pki register`: the rows of a device whose certificate is there already. */
import { join } from 'node:path'
import { deviceName } from '../authority.ts'
import { filesIn } from '../authority-files.ts'
import { readState } from '../authority-state.ts'
import { devicePaths, readDevicePair, serialOf } from '../device-files.ts'
import { AuthorityError } from '../errors.ts'
import type { PkiCommandContext, Values } from './context.ts'
import { register } from './issue.ts'

/** Needs no key. @returns the exit code */
export async function registerAgain(
  directory: string,
  [tenant, device]: readonly [string, string],
  values: Values,
  context: PkiCommandContext,
): Promise<number> {
  const name = deviceName(tenant, device)
  const paths = devicePaths(join(directory, 'devices'), tenant, device)
  const file = paths.certificate
  const { certificate, certificatePem } = await readDevicePair(paths)
  if (certificate === undefined || certificatePem === undefined) {
    const text = `${file} does not exist: midge pki issue makes it`
    throw new AuthorityError('authority_certificate_unknown', text)
  }
  const { revoked } = await readState(filesIn(directory).state)
  const listed = revoked.find(({ serialNumber }) => serialNumber === serialOf(certificate))
  if (listed !== undefined) {
    const text = `${file} is revoked (${listed.reason}): expected a certificate that is good`
    throw new AuthorityError('authority_certificate_unknown', text)
  }
  const enrolment = context.enrolment?.(directory)
  const { site } = values
  return await register({ enrolment, context }, name, { tenant, device, site, certificatePem })
}
