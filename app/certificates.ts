/** What the app asks of pki about its listeners. */
import type { Broker } from '../broker/index.ts'
import type { Config } from '../config/types.ts'
import type { Pki, PkiListener } from '../pki/index.ts'

export function listenersWithTls({ listeners, deviceTrust }: Config): PkiListener[] {
  const deviceCafile = deviceTrust?.deviceCafile
  return listeners.flatMap(({ name, tls }) =>
    tls === undefined ? [] : [{ name, tls: { ...tls, deviceCafile } }],
  )
}

/** Where a listener answers on this machine; undefined: it is closed, or wants more than TLS. */
export function loopbackAddress(
  broker: Broker,
  { listeners }: Config,
  name: string,
): { host: string; port: number } | undefined {
  const listener = listeners.find((each) => each.name === name)
  if (listener === undefined || !broker.isOpen(name)) return undefined
  const { address, family, proxyProtocol, socketPath } = listener
  if (proxyProtocol !== undefined || socketPath !== undefined) return undefined
  const any = family === 'ipv6' || address === '::' ? '::1' : '127.0.0.1'
  const isAny = address === undefined || address === '::' || address === '0.0.0.0'
  return { host: isAny ? any : address, port: broker.portOf(name) }
}

/** Files on disk that are refused while older ones serve, or a CRL past its nextUpdate. */
export function tlsAlarm(pki: Pki): string | undefined {
  const [refused] = pki.problems
  if (refused !== undefined) return refused.message
  const crlFile = pki.crlFiles.find(({ problem }) => problem !== undefined)
  if (crlFile?.problem !== undefined) return crlFile.problem.message
  const stale = pki.crls.inForce.find((crl) => pki.crls.isStale(crl))
  if (stale === undefined) return undefined
  const why = stale.behind ? 'older than its delta' : 'past its nextUpdate'
  return `the CRL of ${stale.issuerName} is ${why}`
}
