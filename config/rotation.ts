/** The section of Config about changed certificate files; both starts share it. */
import { dirname, resolve } from 'node:path'
import type { SettingValues } from './environment.ts'
import { ENVIRONMENT } from './problems.ts'
import type { Problems } from './problems.ts'
import { ROTATION } from './settings/rotation.ts'
import type { ListenerConfig, RotationConfig } from './types.ts'

/** Nothing is restarted here, so a window need only outlast the writing of two files … */
const SHORT_WINDOW_MS = 1000
/** … and whoever brings the names of the daemon brings its expectations too. */
const DAEMON_WINDOW_MS = 10_000

export function rotationOf(values: SettingValues): RotationConfig {
  const others = Object.values(ROTATION)
  const anyGiven = others.some((setting) => values.given<unknown>(setting) !== undefined)
  const probe = {
    upstream: values.of(ROTATION.upstream),
    servername: values.of(ROTATION.servername),
    timeoutMs: values.of(ROTATION.timeout),
  }
  return {
    checkIntervalMs: values.of(ROTATION.checkInterval),
    stabilityWindowMs:
      values.of(ROTATION.stabilityWindow) ?? (anyGiven ? DAEMON_WINDOW_MS : SHORT_WINDOW_MS),
    cooldownMs: values.of(ROTATION.cooldown),
    expiryWarnDays: values.of(ROTATION.expiryWarnDays),
    swap: values.of(ROTATION.swap),
    probe: values.of(ROTATION.probe) ? probe : undefined,
  }
}

/** With a configuration file the listeners name their files, wherever CERT_DIR points. */
export function warnOfCertDir(
  values: SettingValues,
  listeners: readonly ListenerConfig[],
  problems: Problems,
): void {
  const certDir = values.of(ROTATION.certDir)
  if (certDir === undefined) return
  for (const { name, tls } of listeners) {
    if (tls === undefined || resolve(dirname(tls.certfile)) === resolve(certDir)) continue
    problems.warn(
      ENVIRONMENT,
      `CERT_DIR is ${certDir}, but listener ${name} names ${tls.certfile}: that file is followed.`,
    )
  }
}
