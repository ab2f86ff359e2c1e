/** A port, and what stands in front of MQTT there. */

export interface ListenerConfig {
  /** For logs and metrics, such as `8883`; unique. */
  readonly name: string
  /** Undefined: every interface, IPv4 and IPv6. */
  readonly address: string | undefined
  /** 1 to 65535; 0 lets the system choose (tests). */
  readonly port: number
  readonly protocol: 'mqtt' | 'websockets'
  /** Undefined: plain TCP. */
  readonly tls: TlsConfig | undefined
  readonly allowAnonymous: boolean
  /** Mosquitto password file; undefined: no user name and password log in here. */
  readonly passwordFile: string | undefined
  /** Mosquitto acl_file; undefined: see `accountAccess` and `tenancy`. */
  readonly aclFile: string | undefined
  /**
   * Without an acl_file: `everything` for whoever authenticated (Mosquitto), or a list of the
   * accounts that have everything while others have nothing (newcomer's start: service_pulse).
   */
  readonly accountAccess: 'everything' | readonly string[]
  /** Sockets at once; the next one is closed right after accept. -1: no cap. */
  readonly maxConnections: number
  /** The machine may lack this address (`::1`): a warning then, not the end. Default false. */
  readonly optional?: boolean
  /** A Unix socket in place of address and port; port is 0 then. */
  readonly socketPath?: string
  /** Only this network interface. */
  readonly bindInterface?: string
  /** One address family only. */
  readonly family?: 'ipv4' | 'ipv6'
  /** MQTT protocol levels let in; absent: all that are spoken. */
  readonly protocolLevels?: readonly (3 | 4 | 5)[]
  /** Default true. */
  readonly allowZeroLengthClientId?: boolean
  /** Begins Client Identifiers the broker makes. Default `auto-`. */
  readonly autoIdPrefix?: string
  /** Put before all topics of the clients here, cut off on delivery. */
  readonly mountPoint?: string
  /** Default 2. */
  readonly maxQos?: 0 | 1 | 2
  readonly useUsernameAsClientId?: boolean
  /** Origin headers that may upgrade; absent: any. */
  readonly websocketOrigins?: readonly string[]
  /** A PROXY header comes first. */
  readonly proxyProtocol?: {
    readonly version: 1 | 2
    readonly requireTls: boolean
    /** Of the proxy's word on the client's certificate (version 2). */
    readonly requireCertificate?: boolean
    readonly useIdentityAsUsername?: boolean
  }
  /** TLS by pre-shared keys, in place of `tls`. */
  readonly psk?: PskConfig
}

export interface TlsConfig {
  readonly certfile: string
  readonly keyfile: string
  /** CAs that client certificates may chain to; without it and `capath` none is asked for. */
  readonly cafile: string | undefined
  readonly crlfile: string | undefined
  readonly requireCertificate: boolean
  /** The certificate's CN is the MQTT user name; user name and password of CONNECT are ignored. */
  readonly useIdentityAsUsername: boolean
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3'
  /** OpenSSL list for both kinds (TLS_* names are 1.3); undefined: Node's. */
  readonly ciphers: string | undefined
  /** Milliseconds from accept to the end of the handshake. Default 20 000. */
  readonly handshakeTimeoutMs: number
  /** Sockets in handshake at once, on this listener and per peer address. Defaults 500, 50. */
  readonly maxHandshakes: number
  readonly maxHandshakesPerAddress: number
  /** A folder of CAs, beside those of `cafile` or in their place. */
  readonly capath?: string
  /** The whole subject in RFC 2253 order is the MQTT user name. */
  readonly useSubjectAsUsername?: boolean
  /** Client certificates before notBefore and after notAfter are good too. */
  readonly ignoreCertificateDates?: boolean
  /** DH parameters, PEM: lets TLS 1.2 clients use DHE ciphers. */
  readonly dhparamfile?: string
  /** Clients may resume a TLS session instead of a full handshake. Default false. */
  readonly sessionTickets?: boolean
}

export interface PskConfig
  extends Pick<TlsConfig, 'handshakeTimeoutMs' | 'maxHandshakes' | 'maxHandshakesPerAddress'> {
  readonly hint: string
  readonly file: string | undefined
  /** The identity of the key is the MQTT user name; user name and password of CONNECT are ignored. */
  readonly useIdentityAsUsername: boolean
  /** OpenSSL list; undefined: every strong one with PSK. */
  readonly ciphers: string | undefined
}
