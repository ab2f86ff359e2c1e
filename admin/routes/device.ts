/**
 * What a device without MQTT asks for: its shadow and its commands. The provision token is all the
 * proof there is, on every request; no answer says more about a token than that it is not good.
 */
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { codeOf } from '../../core/errors.ts'
import type { AdminPorts, DevicePort, TokenDevice } from '../ports.ts'

/** A token is some forty characters; nobody needs a hash of more. */
const MAX_TOKEN = 512
const INT32_MAX = 2 ** 31 - 1

const REPORTED = {
  type: 'object',
  required: ['reported', 'version'],
  properties: {
    reported: { type: 'object' },
    version: { type: 'integer', minimum: -INT32_MAX - 1, maximum: INT32_MAX },
  },
} as const

const ACK = {
  type: 'object',
  properties: {
    status: { type: 'string', default: 'ok', maxLength: 1000 },
    details: { type: ['object', 'null'], default: null },
  },
} as const

interface ReportedBody {
  readonly reported: object
  readonly version: number
}

interface AckBody {
  readonly status: string
  readonly details: object | null
}

/** Nothing at all when ingest is off. */
export function deviceRoutes(app: FastifyInstance, { devices }: AdminPorts): void {
  if (devices === undefined) return
  app.register(async (scope) => routes(scope, devices), { prefix: '/device/v1' })
}

function routes(scope: FastifyInstance, devices: DevicePort): void {
  const known = new WeakMap<FastifyRequest, TokenDevice>()
  const deviceOf = (request: FastifyRequest): TokenDevice => {
    const device = known.get(request)
    if (device === undefined) throw new Error('a request got past its token')
    return device
  }

  // Before the body is read: a stranger's is not even looked at.
  scope.addHook('onRequest', async (request, reply) => {
    const token = request.headers['x-provision-token']
    if (typeof token !== 'string' || token === '') {
      return reply.code(401).send({ detail: 'Missing provision token' })
    }
    // Node reads headers as Latin-1; a token's hash is that of its UTF-8 text.
    const text = Buffer.from(token, 'latin1').toString()
    const device = token.length > MAX_TOKEN ? undefined : await devices.identify(text)
    if (device === undefined) return reply.code(401).send({ detail: 'Invalid provision token' })
    known.set(request, device)
    return undefined
  })
  scope.setErrorHandler(answerError)

  scope.get('/shadow', async (request, reply) => {
    const shadow = await devices.shadow(deviceOf(request))
    if (shadow === undefined) return reply.code(404).send({ detail: 'Device not found' })
    return json(reply, `{"desired":${shadow.desired},"version":${shadow.version}}`)
  })

  scope.post<{ Body: ReportedBody }>(
    '/shadow/reported',
    { schema: { body: REPORTED } },
    async (request, reply) => {
      const { reported, version } = request.body
      const isStored = await devices.report(deviceOf(request), JSON.stringify(reported), version)
      if (!isStored) return reply.code(400).send({ detail: 'reported cannot be stored' })
      return { accepted: true, version }
    },
  )

  scope.get('/commands/pending', async (request, reply) =>
    json(reply, `{"commands":${await devices.pendingCommands(deviceOf(request))}}`),
  )

  scope.post<{ Params: { readonly id: string }; Body: AckBody }>(
    '/commands/:id/ack',
    { schema: { body: ACK }, preValidation: bodyOrNone },
    async (request, reply) => {
      const { id } = request.params
      const outcome = await devices.acknowledge(deviceOf(request), id, request.body)
      if (outcome === 'invalid') return reply.code(400).send({ detail: 'details cannot be stored' })
      if (outcome === 'unknown') {
        return reply.code(404).send({ detail: 'Command not found or already acknowledged' })
      }
      return { command_id: id, acknowledged: true }
    },
  )
}

/** An acknowledgement without a body says all there is to say. */
async function bodyOrNone(request: FastifyRequest): Promise<void> {
  request.body ??= {}
}

/** JSON text as PostgreSQL wrote it: numbers stay what they were. */
function json(reply: FastifyReply, text: string): FastifyReply {
  return reply.type('application/json; charset=utf-8').send(text)
}

/** Texts of our own, as far as the client is not to blame: errors of a database name tables. */
function answerError(error: FastifyError, _request: FastifyRequest, reply: FastifyReply): void {
  const { statusCode = 500, validation } = error
  if (validation !== undefined) {
    const [problem] = validation
    const field = problem?.instancePath.slice(1).replaceAll('/', '.')
    const where = field === undefined || field === '' ? 'body' : field
    reply.code(400).send({ detail: `${where} ${problem?.message ?? 'is not as expected'}` })
  } else if (statusCode >= 400 && statusCode < 500) {
    reply.code(statusCode).send({ detail: DETAILS.get(codeOf(error) ?? '') ?? 'Bad request' })
  } else reply.code(503).send({ detail: 'Not available, try again later' })
}

const DETAILS: ReadonlyMap<string, string> = new Map([
  ['FST_ERR_CTP_BODY_TOO_LARGE', 'Body too large'],
  ['FST_ERR_CTP_INVALID_MEDIA_TYPE', 'Body must be application/json'],
  ['FST_ERR_CTP_EMPTY_JSON_BODY', 'Body is empty'],
])
