import assert from 'node:assert/strict'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { packageRoot } from '../../core/package-root.ts'
import { composeText } from './files.ts'

interface Instruction {
  readonly word: string
  readonly rest: string
}

interface Stage {
  readonly name: string
  readonly from: string
  readonly instructions: readonly Instruction[]
}

function readDockerfile(): readonly Stage[] {
  const joined = composeText('Dockerfile')
    .split('\n')
    .filter((line) => !line.startsWith('#'))
    .join('\n')
    .replaceAll(/\\\n\s*/gu, ' ')
  const stages: { name: string; from: string; instructions: Instruction[] }[] = []
  for (const line of joined.split('\n').filter((text) => text.trim() !== '')) {
    const [, word = '', rest = ''] = line.match(/^([A-Z]+) +(.+)$/u) ?? []
    assert.notEqual(word, '', line)
    if (word === 'FROM') {
      const [, from = '', name = ''] = rest.match(/^(\S+) AS (\S+)$/u) ?? []
      stages.push({ name, from, instructions: [] })
    } else {
      assert.ok(word === 'ARG' || stages.length > 0, line)
      stages.at(-1)?.instructions.push({ word, rest })
    }
  }
  return stages
}

const stages = readDockerfile()

/** What a stage inherits and adds, in order. */
function wholeOf(name: string): readonly Instruction[] {
  const stage = stages.find((one) => one.name === name)
  return stage === undefined ? [] : [...wholeOf(stage.from), ...stage.instructions]
}

function last(name: string, word: string): string | undefined {
  return wholeOf(name).findLast((one) => one.word === word)?.rest
}

test('the default target has no development dependencies and no embedded database', () => {
  assert.deepEqual(
    stages.map(({ name }) => name),
    ['build', 'base', 'embedded', 'runtime'],
  )
  const installs = (name: string) =>
    wholeOf(name).flatMap(({ rest }) => rest.match(/npm ci[^&]*/u) ?? [])
  assert.match(installs('runtime').join(), /^npm ci --omit=dev --omit=optional /u)
  assert.match(installs('embedded').join(), /^npm ci --omit=dev /u)
  assert.doesNotMatch(installs('embedded').join(), /optional/u)
})

test('both targets run as 1883, start through the entry point, and say how they are', () => {
  for (const name of ['runtime', 'embedded']) {
    assert.equal(last(name, 'USER'), '1883:1883', name)
    assert.equal(last(name, 'ENTRYPOINT'), '["/usr/local/bin/docker-entrypoint.sh"]')
    assert.match(last(name, 'HEALTHCHECK') ?? '', /CMD \["midge", "health"\]$/u)
    assert.equal(last(name, 'EXPOSE'), '8883 1883 9001 8080')
    assert.equal(wholeOf(name).at(-1)?.word === 'RUN', false, 'root does not have the last word')
  }
  assert.equal(last('runtime', 'CMD'), '["midge", "-c", "/mosquitto/config/mosquitto.conf"]')
})

test('EXPOSE names the listeners of the sample configuration and HTTP', () => {
  const listeners = [...composeText('broker', 'mosquitto.conf').matchAll(/^listener (\d+)/gmu)]
  const ports = [...listeners.map(([, port]) => port), '8080']
  assert.deepEqual(last('runtime', 'EXPOSE')?.split(' '), ports)
})

test('every directory Mosquitto has is there and belongs to the broker', () => {
  const commands = wholeOf('runtime').map(({ rest }) => rest)
  const made = commands.join('\n').match(/install -d -m 0750 -o 1883 -g 1883 (.+)/u)?.[1] ?? ''
  assert.deepEqual(
    made.split(' ').sort(),
    ['certs', 'config', 'data', 'log', 'passwd'].map((name) => `/mosquitto/${name}`),
  )
})

test('what is copied exists and is sent to the engine', () => {
  const ignored = readFileSync(join(packageRoot(), '.dockerignore'), 'utf8').split('\n')
  const sent = ignored.filter((line) => line.startsWith('!')).map((line) => line.slice(1))
  assert.ok(ignored.includes('*'))
  const copied = stages.flatMap(({ instructions }) =>
    instructions
      .filter(({ word, rest }) => word === 'COPY' && !rest.includes('--from='))
      .flatMap(({ rest }) =>
        rest
          .replaceAll(/--\S+ /gu, '')
          .split(/ +/u)
          .slice(0, -1),
      ),
  )
  assert.ok(copied.length > 10)
  for (const path of [...copied, ...sent]) assert.ok(existsSync(join(packageRoot(), path)), path)
  for (const path of copied) {
    assert.ok(
      sent.some((one) => path === one || path.startsWith(`${one}/`)),
      `${path} is not sent`,
    )
  }
})

test('every folder of sources that the process imports is compiled in the image', () => {
  const sources = new Set(['main.ts'])
  for (const file of sources) {
    const text = readFileSync(join(packageRoot(), file), 'utf8')
    for (const [, path = ''] of text.matchAll(/(?:from|import\(|URL\() ?'(\.[^']+)\.[tj]s'/gu)) {
      sources.add(join(file, '..', `${path}.ts`))
    }
  }
  const folders = new Set([...sources].map((file) => file.split('/')[0] ?? ''))
  const copied = stages.find(({ name }) => name === 'build')?.instructions ?? []
  for (const folder of folders) {
    assert.ok(
      copied.some(({ word, rest }) => word === 'COPY' && rest.split(' ').includes(folder)),
      folder,
    )
  }
  assert.ok(folders.size >= 9, [...folders].join())
})

test('files that are not compiled come along', () => {
  const beside = readdirSync(join(packageRoot(), 'ingest', 'migrations'))
  assert.ok(beside.some((name) => name.endsWith('.sql')))
  assert.ok(wholeOf('runtime').some(({ rest }) => rest === 'ingest/migrations ingest/migrations'))
})
