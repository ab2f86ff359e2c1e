/** Why a client was disconnected, in Mosquitto's words: a closed set that people and fail2ban match. */

/** By our close reasons (`mqtt_sessions_closed_total`); `connect_refused` is told by what refused it. */
const REASONS: ReadonlyMap<string, string> = new Map([
  ['connection_lost', 'connection closed by client'],
  ['connect_timeout', 'exceeded timeout'],
  ['keep_alive_timeout', 'exceeded timeout'],
  ['malformed_packet', 'malformed packet'],
  ['protocol_error', 'protocol error'],
  ['packet_too_large', 'oversize packet'],
  ['session_taken_over', 'session taken over'],
  ['publish_denied', 'not authorised'],
  ['not_authorised', 'not authorised'],
  ['not_stored', 'server unavailable'],
  ['too_slow', 'quota exceeded'],
  ['certificate_revoked', 'administrative action'],
  ['certificate_expired', 'administrative action'],
  ['certificate_untrusted', 'administrative action'],
  ['stopping', 'administrative action'],
  ['internal_error', 'unspecified error'],
])

/** By what refused a CONNECT; all others are `not authorised`. */
const REFUSALS: ReadonlyMap<string, string> = new Map([
  ['client_id', 'client identifier not valid'],
  ['protocol_level', 'protocol error'],
  ['keep_alive_too_long', 'protocol error'],
  ['qos_not_supported', 'protocol error'],
  ['retain_not_available', 'protocol error'],
  ['will_too_large', 'oversize payload'],
  ['authentication_busy', 'server busy'],
  ['too_many_sessions', 'quota exceeded'],
  ['too_many_connections', 'quota exceeded'],
])

/** What the C library says of a broken socket, for the errors a connection can end with. */
const SYSTEM_ERRORS: ReadonlyMap<string, string> = new Map([
  ['ECONNRESET', 'Connection reset by peer'],
  ['EPIPE', 'Broken pipe'],
  ['ETIMEDOUT', 'Connection timed out'],
  ['EHOSTUNREACH', 'No route to host'],
  ['ENETUNREACH', 'Network is unreachable'],
  ['ENETDOWN', 'Network is down'],
])

/**
 * @param reason of `connection.closed`
 * @param detail of it; of a lost connection the system's error, if that is how it ended
 * @param refusal of `connect_refused`
 */
export function disconnectReason(reason: string, detail: string, refusal: string): string {
  if (reason === 'connect_refused') return REFUSALS.get(refusal) ?? 'not authorised'
  const code = reason === 'connection_lost' ? /\b(E[A-Z]+)\b/u.exec(detail)?.[1] : undefined
  const system = code === undefined ? undefined : SYSTEM_ERRORS.get(code)
  return system ?? REASONS.get(reason) ?? 'unspecified error'
}
