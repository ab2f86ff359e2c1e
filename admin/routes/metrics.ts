import type { FastifyInstance } from 'fastify'
import type { AdminPorts } from '../ports.ts'

/** Prometheus text. */
export function metricsRoute(app: FastifyInstance, { metrics }: AdminPorts): void {
  app.get('/metrics', async (_request, reply) => {
    reply.type(metrics.contentType)
    return metrics.metrics()
  })
}
