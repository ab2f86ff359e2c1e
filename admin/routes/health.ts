import type { FastifyInstance } from 'fastify'
import type { AdminPorts } from '../ports.ts'

/**
 * `/health`: 200 while the process lives, with the counters. `/ready`: 200, or 503 with the reason
 * why telemetry cannot be taken now.
 */
export function healthRoutes(app: FastifyInstance, ports: AdminPorts): void {
  app.get('/health', () => {
    const { last_write_at, ...counters } = ports.counters()
    return { status: 'healthy', service: 'ingest', counters, last_write_at }
  })
  app.get('/ready', async (_request, reply) => {
    const readiness = ports.readiness()
    if (readiness.ready) return { status: 'ready' }
    reply.code(503)
    return { status: 'not_ready', reason: readiness.reason }
  })
}
