/** Who could come in by each listener, as far as the configuration alone says. */
import type { Config, ListenerConfig } from '../config/types.ts'
import { danger, type Finding } from './check-findings.ts'

/** Open doors of every listener. */
export function doorsOf({ listeners }: Config): readonly Finding[] {
  return listeners.flatMap((listener) => [
    ...anybody(listener),
    ...proxies(listener),
    ...certificates(listener),
  ])
}

function anybody(listener: ListenerConfig): Finding[] {
  const { name, aclFile, accountAccess, allowAnonymous, tls, psk, passwordFile } = listener
  const found: Finding[] = []
  if (allowAnonymous) found.push(danger(`listener ${name}: anonymous clients may connect`))
  if (aclFile === undefined && accountAccess === 'everything') {
    found.push(
      danger(`listener ${name}: no acl_file: whoever connects may read and write everything`),
    )
  }
  if (tls === undefined && psk === undefined && passwordFile !== undefined) {
    if (!isOfThisMachine(listener)) {
      found.push(danger(`listener ${name}: passwords travel unencrypted`))
    }
  }
  return found
}

/** Whoever speaks first says which address and, with version 2, which certificate a client has. */
function proxies(listener: ListenerConfig): Finding[] {
  const { name, proxyProtocol } = listener
  if (proxyProtocol === undefined || isOfThisMachine(listener)) return []
  const claims =
    proxyProtocol.useIdentityAsUsername === true ? 'any address and user name' : 'any address'
  return [
    danger(
      `listener ${name}: whoever reaches this port may claim ${claims} (enable_proxy_protocol): let only the proxy reach it`,
    ),
  ]
}

function certificates({ name, tls }: ListenerConfig): Finding[] {
  if (tls === undefined || !tls.requireCertificate || tls.crlfile !== undefined) return []
  if (tls.cafile === undefined && tls.capath === undefined) return []
  return [danger(`listener ${name}: no crlfile: a stolen certificate cannot be revoked here`)]
}

function isOfThisMachine({ address, socketPath }: ListenerConfig): boolean {
  if (socketPath !== undefined) return true
  return address !== undefined && /^(127\.|::1$|localhost$)/u.test(address)
}
