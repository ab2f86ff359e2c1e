import { count } from './setting.ts'

const MIB = 1024 * 1024

function size(
  variable: string,
  mib: number,
  meaning: string,
  directive?: string,
): ReturnType<typeof count> {
  return count(variable, {
    default: mib * MIB,
    unit: 'bytes',
    meaning,
    ...(directive === undefined ? {} : { directive }),
  })
}

/** What grows, and how far. */
export const LIMITS = {
  maxConnectBytes: count('MIDGE_MAX_CONNECT_BYTES', {
    default: 8192,
    min: 64,
    max: 268_435_460,
    unit: 'bytes',
    meaning: 'Largest CONNECT packet',
  }),
  maxPacketBytes: count('MIDGE_MAX_PACKET_BYTES', {
    default: 262_144,
    min: 20,
    max: 268_435_460,
    unit: 'bytes',
    meaning: 'Largest packet of any other kind, fixed header included',
    directive: 'max_packet_size',
  }),
  connectTimeoutMs: count('MIDGE_CONNECT_TIMEOUT_MS', {
    default: 10_000,
    max: 3_600_000,
    unit: 'milliseconds',
    meaning: 'From the open socket to a complete CONNECT',
  }),
  maxConnections: count('MIDGE_MAX_CONNECTIONS', {
    default: 100_000,
    unit: 'connections',
    meaning: 'Over all listeners; one more is closed right after accept',
    directive: 'global_max_connections',
  }),
  maxSessions: count('MIDGE_MAX_SESSIONS', {
    default: 200_000,
    unit: 'Sessions',
    meaning: 'Connected or kept',
    directive: 'global_max_clients',
  }),
  maxInflightMessages: count('MIDGE_MAX_INFLIGHT_MESSAGES', {
    default: 20,
    max: 65_535,
    unit: 'messages',
    meaning: 'QoS 1 and 2 in flight towards one client',
    directive: 'max_inflight_messages',
  }),
  maxQueuedMessages: count('MIDGE_MAX_QUEUED_MESSAGES', {
    default: 1000,
    unit: 'messages',
    meaning: 'Queued per Session beyond those in flight; the newest is dropped',
    directive: 'max_queued_messages',
  }),
  maxQueuedBytes: size('MIDGE_MAX_QUEUED_BYTES', 8, 'Queued per Session', 'max_queued_bytes'),
  maxQueuedBytesTotal: size('MIDGE_MAX_QUEUED_BYTES_TOTAL', 256, 'Queued over all Sessions'),
  maxSubscriptionsPerSession: count('MIDGE_MAX_SUBSCRIPTIONS', {
    default: 10_000,
    unit: 'subscriptions',
    meaning: 'Of one Session',
  }),
  tenantSharePercent: count('MIDGE_TENANT_SHARE_PERCENT', {
    default: 80,
    min: 1,
    max: 100,
    unit: 'percent',
    meaning:
      'Of the connections, Sessions, queued bytes and retained messages one tenant alone may have; 100: no bound of its own',
  }),
  maxRetainedMessages: count('MIDGE_MAX_RETAINED_MESSAGES', {
    default: 100_000,
    unit: 'messages',
    meaning: 'Retained messages held',
  }),
  maxRetainedBytes: size('MIDGE_MAX_RETAINED_BYTES', 256, 'Bytes of the retained messages'),
  maxSocketBacklogBytes: size(
    'MIDGE_MAX_SOCKET_BACKLOG_BYTES',
    1,
    'Waiting in one socket; beyond it QoS 0 is dropped, and at four times as much the client is cut',
  ),
  maxWaitingPublishes: count('MIDGE_MAX_WAITING_PUBLISHES', {
    default: 1000,
    unit: 'messages',
    meaning:
      'PUBLISHes of one connection that wait for their acknowledgement before reading pauses',
  }),
  maxWaitingBytes: size('MIDGE_MAX_WAITING_BYTES', 1, 'Bytes of the same'),
  handshakeTimeoutMs: count('MIDGE_HANDSHAKE_TIMEOUT_MS', {
    default: 20_000,
    max: 3_600_000,
    unit: 'milliseconds',
    meaning: 'From accept to the end of the TLS handshake',
  }),
  maxHandshakes: count('MIDGE_MAX_HANDSHAKES', {
    default: 500,
    unit: 'handshakes',
    meaning: 'At once on one TLS listener',
  }),
  maxHandshakesPerAddress: count('MIDGE_MAX_HANDSHAKES_PER_ADDRESS', {
    default: 50,
    unit: 'handshakes',
    meaning: 'At once from one address, on one TLS listener',
  }),
} as const
