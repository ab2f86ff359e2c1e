/** HTTP for operators and orchestrators: alive, ready, metrics. */
import fastify from 'fastify'
import type { AdminConfig } from '../config/types.ts'
import { OperationalError, codeOf, messageOf } from '../core/errors.ts'
import type { AdminPorts } from './ports.ts'
import { deviceRoutes } from './routes/device.ts'
import { healthRoutes } from './routes/health.ts'
import { metricsRoute } from './routes/metrics.ts'

export type { AdminPorts } from './ports.ts'

export interface Admin {
  readonly port: number
  close(): Promise<void>
}

/** @throws OperationalError `LISTEN_FAILED` */
export async function createAdmin(config: AdminConfig, ports: AdminPorts): Promise<Admin> {
  const app = fastify({
    logger: false,
    bodyLimit: 64 * 1024,
    requestTimeout: 10_000,
    // A value of another type is a mistake to be told of, not to be mended.
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false } },
  })
  healthRoutes(app, ports)
  metricsRoute(app, ports)
  deviceRoutes(app, ports)
  try {
    await app.listen({ host: config.host, port: config.port })
  } catch (err) {
    await app.close()
    const why =
      codeOf(err) === 'EADDRINUSE'
        ? 'the port is in use by another program; stop that one or choose another port'
        : messageOf(err)
    throw new OperationalError(
      'LISTEN_FAILED',
      `cannot serve HTTP on ${config.host}, port ${config.port}: ${why}`,
      { cause: err },
    )
  }
  const address = app.server.address()
  const port = address !== null && typeof address === 'object' ? address.port : config.port
  return { port, close: () => app.close() }
}
