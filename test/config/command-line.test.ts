import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CommandLineError, EXIT, parseCommandLine, USAGE } from '../../config/index.ts'

const parse = (line: string) => parseCommandLine(line === '' ? [] : line.split(' '))

const WRONG: readonly (readonly [line: string, message: string, withUsage?: true])[] = [
  ['-p', 'Error: -p argument given, but no port specified.'],
  ['--port', 'Error: -p argument given, but no port specified.'],
  ['-c', 'Error: -c argument given, but no config file specified.'],
  ['--config-file', 'Error: -c argument given, but no config file specified.'],
  ['-p 0', 'Error: Invalid port specified (0).'],
  ['-p 65536', 'Error: Invalid port specified (65536).'],
  ['-p -1', 'Error: Invalid port specified (-1).'],
  ['-p abc', 'Error: Invalid port specified (abc).'],
  ['-p 1883x', 'Error: Invalid port specified (1883x).'],
  ['-p 0x75b', 'Error: Invalid port specified (0x75b).'],
  [`${'-p 1 '.repeat(10)}-p 2`, 'Error: Only 10 ports can be specified on the command line.'],
  ['-c a -c b', 'Error: -c argument given more than once.'],
  ['-x', "Error: Unknown option '-x'.", true],
  ['--verbos', "Error: Unknown option '--verbos'.", true],
  ['mosquitto.conf', "Error: Unknown option 'mosquitto.conf'.", true],
  ['-vd', "Error: Unknown option '-vd'.", true],
  ['-c a start', "Error: Unknown option 'start'.", true],
  ['--data', 'Error: --data argument given, but no directory specified.'],
  ['--tls-keylog', 'Error: --tls-keylog argument given, but no file specified.'],
  ['demo --devices', 'Error: --devices argument given, but no number specified.'],
  ['demo --devices 0', 'Error: --devices is "0", expected a whole number from 1.'],
  ['demo --rate 1.5', 'Error: --rate is "1.5", expected a whole number from 1.'],
  ['demo -c a', "Error: Unknown option '-c'.", true],
  ['rows --limit all', 'Error: --limit is "all", expected a whole number from 1.'],
  ['rows 5', "Error: Unknown option '5'.", true],
  ['check', 'Error: check given, but no config file specified.', true],
  ['check a b', "Error: Unknown option 'b'.", true],
  [
    'explain a publish',
    'Error: explain needs an identity, publish or subscribe, and a topic.',
    true,
  ],
  [
    'explain a publish t --certificate',
    'Error: --certificate argument given, but no file specified.',
  ],
  ['explain a read t -c f', 'Error: explain "read", expected publish or subscribe.'],
  ['explain a publish t', 'Error: explain needs -c config_file.'],
  ['explain a publish t u', "Error: Unknown option 'u'.", true],
  ['explain a publish t -c', 'Error: -c argument given, but no config file specified.'],
  ['health localhost', "Error: Unknown option 'localhost'.", true],
  ['health --url', 'Error: --url argument given, but no URL specified.'],
  ['health --url localhost:8080', 'Error: --url is "localhost:8080", expected an http:// URL.'],
  [
    'health --url file:///etc/passwd',
    'Error: --url is "file:///etc/passwd", expected an http:// URL.',
  ],
]

test('what is wrong on the command line is said as Mosquitto says it, with exit code 3', () => {
  for (const [line, message, withUsage = false] of WRONG) {
    assert.throws(
      () => parse(line),
      (err: unknown) => {
        assert.ok(err instanceof CommandLineError, line)
        assert.deepEqual([err.message, err.withUsage], [message, withUsage])
        assert.equal(err.exitCode, 3)
        return true
      },
    )
  }
})

const START = {
  name: 'start',
  as: 'newcomer',
  file: undefined,
  ports: [],
  verbosity: 'normal',
  daemon: false,
  data: undefined,
  testConfig: false,
  tlsKeylog: undefined,
}

test('-c and -p start as Mosquitto would, nothing as newcomers do', () => {
  assert.deepEqual(parse(''), START)
  assert.deepEqual(parse('start'), START)
  assert.deepEqual(parse('--data /d -v'), { ...START, data: '/d', verbosity: 'verbose' })
  assert.deepEqual(parse('-c f -p 1883 -v'), {
    ...START,
    as: 'mosquitto',
    file: 'f',
    ports: [1883],
    verbosity: 'verbose',
  })
  assert.deepEqual(parse('start --port 1 -p 2 -d'), {
    ...START,
    as: 'mosquitto',
    ports: [1, 2],
    daemon: true,
  })
  assert.deepEqual(parse('--config-file -v --test-config --tls-keylog k'), {
    ...START,
    as: 'mosquitto',
    file: '-v',
    testConfig: true,
    tlsKeylog: 'k',
  })
})

test('-q wins over -v, in either order', () => {
  for (const line of ['-q -v', '-v -q', '--verbose --quiet']) {
    assert.deepEqual(parse(line), { ...START, verbosity: 'quiet' })
  }
})

test('help and version answer before what follows them is looked at', () => {
  for (const line of [
    '-h',
    '--help',
    '-v -h --nonsense',
    'demo -h',
    'rows --help',
    'check -h',
    'health -h',
  ]) {
    assert.deepEqual(parse(line), { name: 'help' }, line)
  }
  assert.deepEqual(parse('--version'), { name: 'version' })
  assert.throws(() => parse('--nonsense -h'), CommandLineError)
})

test('the other commands take their own options', () => {
  assert.deepEqual(parse('demo'), { name: 'demo', devices: 20, rate: 100, data: undefined })
  assert.deepEqual(parse('demo --rate 50 --devices 9 --data /d'), {
    name: 'demo',
    devices: 9,
    rate: 50,
    data: '/d',
  })
  assert.deepEqual(parse('rows --follow --limit 5'), {
    name: 'rows',
    limit: 5,
    follow: true,
    data: undefined,
  })
  assert.deepEqual(parse('pki issue -h --x y'), { name: 'pki', rest: ['issue', '-h', '--x', 'y'] })
  assert.deepEqual(parse('passwd'), { name: 'passwd', rest: [] })
  assert.deepEqual(parse('check /etc/m.conf'), { name: 'check', file: '/etc/m.conf' })
  assert.deepEqual(parse('explain a/b publish t -c f --listener 8883 --client-id x'), {
    name: 'explain',
    identity: 'a/b',
    access: 'publish',
    topic: 't',
    file: 'f',
    listener: '8883',
    clientId: 'x',
    certificate: undefined,
    registry: false,
  })
  const asked = parse('explain a/b publish t --config-file f --certificate d.crt --registry')
  assert.deepEqual(asked.name === 'explain' && [asked.certificate, asked.registry], ['d.crt', true])
  assert.deepEqual(parse('explain -h'), { name: 'help' })
  assert.deepEqual(parse('health'), { name: 'health', url: undefined })
  assert.deepEqual(parse('health --url http://h:1/ready'), {
    name: 'health',
    url: 'http://h:1/ready',
  })
})

test('the usage names every command and option', () => {
  const names =
    'start demo pki rows passwd check explain health --listener --client-id --certificate --registry -c -p -v -q -d -h --data --test-config --tls-keylog --version --devices --rate --limit --follow --url'
  for (const name of names.split(' ')) assert.ok(USAGE.includes(name), name)
})

test('exit codes are those of Mosquitto, and one of check alone', () => {
  assert.deepEqual(EXIT, { ok: 0, listener: 1, dangers: 2, configuration: 3, unreadable: 13 })
})
