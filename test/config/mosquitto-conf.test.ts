import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readConf } from '../../config/mosquitto-conf.ts'
import { Problems } from '../../config/problems.ts'
import { FILE, inMemory, load, refusals } from './in-memory.ts'

function read(text: string | Uint8Array, others: Record<string, string> = {}) {
  const problems = new Problems()
  const { lines, included } = readConf(FILE, inMemory({ [FILE]: text, ...others }), problems)
  return {
    included,
    lines: lines.map(({ name, rest, place }) => [place.file, place.line, name, rest]),
  }
}

test('CR, LF and CRLF end a line, with or without one at the end of the file', () => {
  const expected = [
    [FILE, 1, 'a', '1'],
    [FILE, 3, 'b', '2'],
  ]
  for (const end of ['\n', '\r\n', '\r']) {
    assert.deepEqual(read(['a 1', '', 'b 2', ''].join(end)).lines, expected)
    assert.deepEqual(read(['a 1', '# c', 'b 2'].join(end)).lines, expected)
  }
})

test('a lone CR inside a comment does not begin a directive', () => {
  assert.deepEqual(read('# x\rallow_anonymous true\na 1\n').lines, [[FILE, 2, 'a', '1']])
})

test('the name ends at the first space, and spaces before it are skipped', () => {
  assert.deepEqual(read('  a  b \na\tb c\n   \n').lines, [
    [FILE, 1, 'a', ' b '],
    [FILE, 2, 'a\tb', 'c'],
  ])
})

test('a byte order mark is not part of the first name', () => {
  assert.deepEqual(read('\ufefflistener 1883').lines, [[FILE, 1, 'listener', '1883']])
  assert.deepEqual(read('\ufeff# comment\na').lines, [[FILE, 2, 'a', '']])
})

test('lines of 64 KiB are lines like others', () => {
  const long = '/'.padEnd(65_535, 'x')
  assert.equal(load(`listener 1\npassword_file ${long}`).config.listeners[0]?.passwordFile, long)
  const blanks = ' '.repeat(65_536)
  assert.deepEqual(refusals(`allow_anonymous ${blanks}false\nacl_file ${blanks}a${blanks}`), [])
})

test('text is UTF-8 or refused; a comment is never looked at', () => {
  const latin = Buffer.from('# caf\xe9\nacl_file caf\xe9\nacl_file café\n', 'latin1')
  assert.deepEqual(refusals(latin), [
    '2: Malformed UTF-8 in configuration.',
    '3: Malformed UTF-8 in configuration.',
  ])
  assert.equal(load('listener 1\nacl_file /z/ü/漢/𝄞').config.listeners[0]?.aclFile, '/z/ü/漢/𝄞')
})

const FOLDER = {
  '/d/b.conf': 'b',
  '/d/B.conf': 'B',
  '/d/a.conf': 'a',
  '/d/A.conf': 'A',
  '/d/01.conf': '01',
  '/d/00.conf': '00',
  '/d/.conf': 'hidden',
  '/d/x.conf.bak': 'backup',
  '/d/readme': 'readme',
}

test('include_dir reads its files where it stands, letters in order, the capital first', () => {
  const { lines, included } = read('first\ninclude_dir /d\nlast', FOLDER)
  assert.deepEqual(
    lines.map(([file, line, name]) => [file, line, name]),
    [
      [FILE, 1, 'first'],
      ...['00', '01', 'A', 'a', 'B', 'b'].map((name) => [`/d/${name}.conf`, 1, name]),
      [FILE, 3, 'last'],
    ],
  )
  assert.equal(included.length, 6)
  assert.deepEqual(read('include_dir /d/', FOLDER).included, included)
})

test('an included file begins with no open block, and the main file goes on with its own', () => {
  const others = {
    '/d/a.conf': 'protocol websockets',
    '/d/b.conf': 'listener 2\nprotocol websockets',
  }
  const text = 'listener 1\ninclude_dir /d\nmax_connections 5'
  assert.deepEqual(refusals(text, { others }), [
    "/d/a.conf:1: The 'protocol' option requires a listener to be defined first.",
  ])
  const { listeners } = load(text, { others: { '/d/b.conf': others['/d/b.conf'] } }).config
  assert.deepEqual(
    listeners.map(({ name, protocol, maxConnections }) => [name, protocol, maxConnections]),
    [
      ['1', 'mqtt', 5],
      ['2', 'websockets', -1],
    ],
  )
})

test('what cannot be included is an error at the line that asks for it', () => {
  assert.deepEqual(refusals('a\ninclude_dir /none'), [
    "1: Unknown configuration variable 'a'.",
    "2: Unable to open include_dir '/none'.",
  ])
  assert.deepEqual(refusals('include_dir /d', { others: { '/d/a.conf': 'include_dir /d' } }), [
    '/d/a.conf:1: The include_dir option is only valid in the main configuration file.',
  ])
  assert.deepEqual(refusals('include_dir /d', { others: { '/d/a.conf/x': '' } }), [
    "1: Config file '/d/a.conf' is a directory.",
  ])
})

test('a main file that cannot be opened says which', () => {
  const problems = new Problems()
  readConf('/none.conf', inMemory({}), problems)
  readConf('/d', inMemory(FOLDER), problems)
  assert.throws(() => problems.throwIfAny(), {
    message:
      "/none.conf: Unable to open config file '/none.conf'.\n/d: Config file '/d' is a directory.",
  })
})
