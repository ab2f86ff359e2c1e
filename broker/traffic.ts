/**
 * What went over the wire since the start, for `$SYS`. Plain numbers, added to where the bytes pass:
 * once for each read and write of a socket, and once for each packet.
 */
export class Traffic {
  bytesReceived = 0
  bytesSent = 0
  /** Packets of every type. */
  packetsReceived = 0
  packetsSent = 0
  publishesReceived = 0
  /** Of payload. */
  publishBytesReceived = 0
  publishesSent = 0
  publishBytesSent = 0
  /** CONNECT packets, refused or not. */
  connectsReceived = 0
  socketsOpened = 0
  /** Kept Sessions dropped after their time. */
  sessionsExpired = 0
}
