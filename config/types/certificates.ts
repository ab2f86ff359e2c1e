/** Revocation of client certificates, rotation of our own. */

export interface RevocationConfig {
  /** A configured crlfile that does not exist yet: the listener waits, or opens with an empty list. */
  readonly whenMissing: 'wait' | 'open'
  /** A CRL past its nextUpdate. Default `serve-stale`. */
  readonly whenStale: 'serve-stale' | 'refuse'
  /** A CA in force that no CRL covers. Default `accept` without a crlfile, else `refuse`. */
  readonly withoutCrl: 'accept' | 'refuse'
  /** The same for a CA further up in a chain. Default `accept`. */
  readonly intermediatesWithoutCrl?: 'accept' | 'refuse'
  /** Refuse CRLs without crlNumber (RFC 5280 §5.2.3). Default false. */
  readonly requireCrlNumber?: boolean
}

/** Whose certificates stand for devices, beside what each listener's cafile says. */
export interface DeviceTrustConfig {
  /** PEM of the CAs of devices; absent: see server-certificate.ts in pki. */
  readonly deviceCafile?: string
  /** Directory of pinned certificates; absent: none are. */
  readonly pinnedCertificates?: string
}

/** Following certificate, key and CA files, and putting in force what changed. CRLs never wait. */
export interface RotationConfig {
  /** Milliseconds between looks at the files, whatever the file system reports. Default 5 000. */
  readonly checkIntervalMs: number
  /**
   * Milliseconds the files must stand still before they are judged. Default 1 000, and 10 000 when
   * any setting of this group was given.
   */
  readonly stabilityWindowMs: number
  /** Milliseconds between two swaps of one listener. Default 5 000. */
  readonly cooldownMs: number
  /** Warn this long before notAfter. Default 14. */
  readonly expiryWarnDays: number
  /** False: what changed is checked and reported, and the old stays in use. Default true. */
  readonly swap: boolean
  /** Undefined: no handshake is tried. */
  readonly probe: ProbeConfig | undefined
}

export interface ProbeConfig {
  /** Where to look after a swap; undefined: at the listener itself. */
  readonly upstream: { readonly host: string; readonly port: number } | undefined
  /** Sent as SNI, and compared with the names in the certificate; undefined: neither. */
  readonly servername: string | undefined
  /** Milliseconds of one handshake. Default 5 000. */
  readonly timeoutMs: number
}

/** Writing the CRL of the device CA from the revocations in the database. */
export interface CrlWriterConfig {
  readonly caCertificate: string
  /** Read whenever a list is signed, and never kept. */
  readonly caKey: string
  readonly output: string
}
