/** What the broker asks of the parts around it; app.ts joins them by their shape. */
import type { X509Certificate } from 'node:crypto'
import type { DeviceId, IssuerKey, SerialNumber, TenantId } from '../core/names.ts'

/** The facts of a client certificate that outlive its handshake. */
export interface PeerCertificate {
  /** The only CN of the subject, as text. */
  readonly commonName: string
  readonly issuerKey: IssuerKey
  readonly serialNumber: SerialNumber
  /** SHA-256 of the DER, lower-case hex without separators. */
  readonly fingerprint: string
  /** Milliseconds since 1970. */
  readonly notAfter: number
  /** `commonName` is not the subject's: the certificate is pinned for that name. */
  readonly pinned?: true
  /** The whole subject (RFC 2253), where the listener takes that for the user name. */
  readonly subject?: string
}

export type Admission =
  | { readonly admitted: true; readonly certificate: PeerCertificate }
  /** `reason` is one word of the closed set in pki/admission.ts, for logs and metrics. */
  | { readonly admitted: false; readonly reason: string; readonly detail: string }

/** Judges the certificate of a finished handshake; never throws, memory only. */
export interface ClientCertificates {
  /**
   * @param peer undefined when the client showed none
   * @param verification OpenSSL's verdict on the chain: `undefined` when it verified
   */
  admit(peer: X509Certificate | undefined, verification: string | undefined): Admission
  /** Is it still good now: not revoked, not past notAfter. Asked again at CONNECT and on news. */
  stillGood(certificate: PeerCertificate): { good: true } | { good: false; reason: string }
}

/** The keys of a psk_file. */
export interface PreSharedKeys {
  /** Undefined: nobody of that identity. */
  keyOf(identity: string): Buffer | undefined
}

/** What a TLS listener serves with; offered as one value, so that key and chain always match. */
export interface ServerCredentials {
  readonly key: string
  /** Leaf and intermediates, PEM. */
  readonly cert: string
  /** CAs named to clients and used by OpenSSL for their chains, PEM; undefined: none asked for. */
  readonly ca: string | undefined
  /** DH parameters, PEM; absent: no DHE ciphers. */
  readonly dhparam?: string | undefined
}

/** A PUBLISH on an ingested topic, accepted by access control. */
export interface PublishedTelemetry {
  readonly tenantId: TenantId
  readonly deviceId: DeviceId
  /** Level 5 of the topic. */
  readonly msgType: string
  readonly topic: string
  readonly payload: Buffer
  readonly qos: 0 | 1 | 2
  /** Milliseconds since 1970. */
  readonly receivedAt: number
  readonly publisher: Publisher
}

/** The connection's identity, as it goes with every row and every rejection. */
export interface Publisher {
  readonly kind: 'device' | 'certificate' | 'account' | 'anonymous'
  readonly userName: string | undefined
  readonly clientId: string
  /** Of the certificate presented, for kinds `device` (undefined: a pre-shared key) and `certificate`. */
  readonly fingerprint: string | undefined
}

export interface TelemetrySink {
  /**
   * Settles once the record is committed, or quarantined, which commits too. Promises settle in the
   * order of the calls. May wait as long as PostgreSQL is away.
   *
   * Rejects when the record was not taken (ceiling reached, stopping): QoS 1 and 2 must then not be
   * acknowledged.
   */
  append(telemetry: PublishedTelemetry): Promise<void>
  /** False while the ceiling is reached: the caller stops reading its sockets. */
  readonly hasRoom: boolean
  /** Calls once when there is room again. */
  onRoom(then: () => void): void
  /**
   * What a device says of its shadow or of a command. Settles once its effect is committed, or there
   * is none to have; rejects like `append`. In the order of the calls, but apart from `append`.
   */
  report(report: DeviceReport): Promise<void>
  /** Counts and records a PUBLISH that access control refused (reason AUTH_FAILED). Never throws. */
  recordDenied(denied: DeniedPublish): void
}

/** A PUBLISH of a device on `…/shadow/reported` or `…/commands/ack` of its own. */
export interface DeviceReport {
  readonly kind: 'shadow_reported' | 'command_ack'
  /** Of the connection. */
  readonly tenantId: TenantId
  readonly deviceId: DeviceId
  readonly topic: string
  readonly payload: Buffer
  readonly qos: 0 | 1 | 2
  /** Milliseconds since 1970. */
  readonly receivedAt: number
  readonly publisher: Publisher
}

/** Is told what becomes of connections. Memory only: never throws, never keeps a connection waiting. */
export interface ConnectionObserver {
  /** CONNACK 0 is out. */
  opened(connection: ObservedConnection): void
  /** One that was opened has ended; `reason` is a word of close-reason.ts. */
  closed(connection: ObservedConnection, reason: string): void
  /** A client certificate was turned away, after the handshake or at CONNECT. */
  certificateRefused(refusal: CertificateRefused): void
}

export interface ObservedConnection {
  /** Undefined for whoever is no device. */
  readonly tenantId: TenantId | undefined
  readonly deviceId: DeviceId | undefined
  readonly publisher: Publisher
  readonly listener: string
  /** IP address, or `unix`. */
  readonly peer: string
}

export interface CertificateRefused {
  /** One word of the closed set of admission and identity. */
  readonly reason: string
  readonly listener: string
  readonly peer: string
  /** SHA-256 of the DER, lower-case hex. */
  readonly fingerprint: string
  /** Undefined: no CA of ours vouches for what the certificate says. */
  readonly commonName: string | undefined
}

export interface DeniedPublish {
  /** Of the connection, never of the topic. */
  readonly tenantId: TenantId | undefined
  readonly deviceId: DeviceId | undefined
  readonly topic: string
  readonly payload: Buffer
  readonly publisher: Publisher
}

/** What is known of a device beyond its certificate, key or password, asked when it connects. */
export interface DeviceRegistry {
  /** May wait for the database, within bounds. Never rejects. */
  mayConnect(device: {
    readonly tenantId: string
    readonly deviceId: string
    /** Undefined: it has shown no certificate. */
    readonly fingerprint: string | undefined
  }): Promise<{ readonly admitted: true } | { readonly admitted: false; readonly reason: string }>
  /**
   * The device of a password account that is called like one. May wait for the database, within
   * bounds. Never rejects.
   */
  deviceOfAccount(account: {
    readonly userName: string
    /** SHA-256 of the password, which was right; lower-case hex. */
    readonly tokenHash: string
  }): Promise<
    | { readonly found: true; readonly tenantId: string; readonly deviceId: string }
    | { readonly found: false; readonly reason: string }
  >
}
