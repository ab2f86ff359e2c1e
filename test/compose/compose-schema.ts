/**
 * The part of the Compose specification that the files below compose/ use, in our words: a key that
 * is not listed, or has another shape, is a mistake.
 */
const text = { type: 'string' }
const texts = { type: 'array', items: text, uniqueItems: true }
const texty = { type: ['string', 'number', 'boolean'] }
const duration = { type: 'string', pattern: '^([0-9]+(h|m|s|ms))+$' }
const empty = { type: 'object', additionalProperties: false }

function closed(properties: object, required: readonly string[] = []) {
  return { type: 'object', properties, required, additionalProperties: false }
}

function named(value: object) {
  return {
    type: 'object',
    patternProperties: { '^[a-zA-Z0-9._-]+$': value },
    additionalProperties: false,
  }
}

const ports = {
  type: 'array',
  items: {
    type: 'string',
    pattern: '^([0-9]{1,3}(\\.[0-9]{1,3}){3}:)?[0-9]{1,5}:[0-9]{1,5}(/(tcp|udp))?$',
  },
}

const service = closed({
  image: text,
  build: closed({ context: text, dockerfile: text, target: text }, ['context']),
  profiles: texts,
  command: { type: 'array', items: text },
  cap_drop: texts,
  depends_on: named(
    closed(
      {
        condition: {
          enum: ['service_started', 'service_healthy', 'service_completed_successfully'],
        },
      },
      ['condition'],
    ),
  ),
  environment: named(text),
  expose: texts,
  healthcheck: closed({
    disable: { type: 'boolean' },
    test: {
      type: 'array',
      minItems: 2,
      items: text,
      prefixItems: [{ enum: ['CMD', 'CMD-SHELL'] }],
    },
    interval: duration,
    timeout: duration,
    start_period: duration,
    retries: { type: 'integer', minimum: 1 },
  }),
  network_mode: text,
  networks: named(closed({ aliases: texts })),
  ports: { anyOf: [ports, closed({ '!override': ports }), closed({ '!reset': ports })] },
  read_only: { type: 'boolean' },
  restart: { enum: ['no', 'always', 'on-failure', 'unless-stopped'] },
  security_opt: texts,
  shm_size: texty,
  stop_grace_period: duration,
  tmpfs: texts,
  ulimits: named(
    closed({ soft: { type: 'integer' }, hard: { type: 'integer' } }, ['soft', 'hard']),
  ),
  volumes: { type: 'array', items: { type: 'string', pattern: '^[^:]+:/[^:]+(:ro)?$' } },
})

export const composeSchema = closed(
  { name: text, services: named(service), networks: named(empty), volumes: named(empty) },
  ['services'],
)
