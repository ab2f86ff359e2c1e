/**
 * How the process ends, as Mosquitto ends: service files and scripts look at these numbers.
 *
 * `ok` is also a normal end after SIGTERM, help, and a tested configuration without errors.
 */
export const EXIT = {
  ok: 0,
  /** A listener that cannot be opened: address in use or not local, bad certificate, bad ciphers. */
  listener: 1,
  /** `midge check`: it starts, and something in it is dangerous. */
  dangers: 2,
  /** An error in the configuration, the command line, or the content of a file it names. */
  configuration: 3,
  /** A password, ACL or PSK file that cannot be opened. */
  unreadable: 13,
} as const

export type ExitCode = (typeof EXIT)[keyof typeof EXIT]
