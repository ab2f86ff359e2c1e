/**
 * What stands behind a listener with mutual TLS, real throughout: a CA, a server certificate, the
 * admission of client certificates, and its CRLs.
 *
 *     const pki = mutualTls()
 *     const { broker, port } = await startBroker(t, { tenancy: true, ...pki.listener() })
 *     const pump = await pki.connect(t, port, pki.device('acme/pump-7'))
 *     await pki.revoke(certificate)
 *     broker.closeRevoked()
 */
import type { TestContext } from 'node:test'
import type { ConnectionOptions } from 'node:tls'
import type { TlsConfig } from '../../config/types.ts'
import { systemClock, type Clock } from '../../core/clock.ts'
import { CrlStore, TrustSet, createClientCertificates } from '../../pki/index.ts'
import type { Pins } from '../../pki/pins.ts'
import type { ServerCredentials } from '../../broker/ports.ts'
import type { TestListenerOptions } from './broker.ts'
import {
  issue,
  issueServer,
  makeCa,
  makeCrlDer,
  type CertificateOptions,
  type TestCa,
  type TestCertificate,
} from './certificates.ts'
import { RawClient } from './raw-client.ts'

export type TlsVersion = 'TLSv1.2' | 'TLSv1.3'
export const TLS_VERSIONS: readonly TlsVersion[] = ['TLSv1.2', 'TLSv1.3']

/** A key and its certificate, PEM. */
export type Presented = Pick<TestCertificate, 'certificatePem' | 'privateKeyPem'>

export interface MutualTls {
  readonly ca: TestCa
  readonly server: TestCertificate
  readonly credentials: ServerCredentials
  /** For `startBroker`; the certificate is the identity. */
  listener(
    tls?: Partial<TlsConfig>,
  ): Required<Pick<TestListenerOptions, 'listener' | 'certificates' | 'credentials'>>
  device(commonName: string, options?: CertificateOptions): TestCertificate
  /** What a client connects with; undefined: it shows no certificate. */
  options(port: number, presented?: Presented, version?: TlsVersion): ConnectionOptions
  /** A client that has sent nothing yet. With TLS 1.3 it may be refused by now and not know it. */
  connect(
    t: TestContext,
    port: number,
    presented?: Presented,
    version?: TlsVersion,
  ): Promise<RawClient>
  /** Puts a CRL in force with these and all revoked before. */
  revoke(...certificates: readonly TestCertificate[]): Promise<void>
}

export function tlsConfig(changes: Partial<TlsConfig> = {}): TlsConfig {
  return {
    certfile: 'server.crt',
    keyfile: 'server.key',
    cafile: 'ca.crt',
    crlfile: undefined,
    requireCertificate: true,
    useIdentityAsUsername: true,
    minVersion: 'TLSv1.2',
    ciphers: undefined,
    handshakeTimeoutMs: 20_000,
    maxHandshakes: 500,
    maxHandshakesPerAddress: 50,
    ...changes,
  }
}

export function mutualTls({
  clock = systemClock,
  ca = makeCa('Test CA'),
  ignoreDates = false,
  pins,
  server = issueServer(ca),
}: {
  readonly clock?: Clock
  readonly ca?: TestCa
  readonly ignoreDates?: boolean
  readonly pins?: Pins
  readonly server?: TestCertificate
} = {}): MutualTls {
  const trust = new TrustSet({ ca: ca.certificatePem, origin: 'ca.crt' })
  const store = new CrlStore({ clock, authorities: trust.encodings })
  const policy = { whenStale: 'serve-stale', withoutCrl: 'accept' } as const
  const certificates = createClientCertificates({ trust, store, policy, clock, ignoreDates, pins })
  const credentials = credentialsOf(server, ca)
  const revoked: string[] = []
  let crlNumber = 0

  const options = (port: number, presented?: Presented, version?: TlsVersion) => ({
    host: '127.0.0.1',
    port,
    ca: ca.certificatePem,
    // A client of OpenSSL 3.5 would not even load a weak key of its own otherwise.
    ciphers: 'DEFAULT@SECLEVEL=0',
    ...(presented === undefined
      ? {}
      : { cert: presented.certificatePem, key: presented.privateKeyPem }),
    ...(version === undefined ? {} : { minVersion: version, maxVersion: version }),
  })
  return {
    ca,
    server,
    credentials,
    listener: (tls) => ({ listener: { tls: tlsConfig(tls) }, certificates, credentials }),
    device: (commonName, certificateOptions) => issue(ca, commonName, certificateOptions),
    options,
    async connect(t, port, presented, version) {
      const client = await RawClient.tls(options(port, presented, version))
      t.after(() => client.destroy())
      return client
    },
    async revoke(...more) {
      revoked.push(...more.map(({ serialNumber }) => serialNumber))
      await store.offer(new Uint8Array(makeCrlDer(ca, revoked, { crlNumber: ++crlNumber })))
    },
  }
}

export function credentialsOf(server: Presented, ca: TestCa): ServerCredentials {
  return { key: server.privateKeyPem, cert: server.certificatePem, ca: ca.certificatePem }
}
