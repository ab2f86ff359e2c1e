import assert from 'node:assert/strict'
import { test } from 'node:test'
import { homesIn, parsePasswd, serverAccount } from '../../postgres/account.ts'

const DEBIAN = `root:x:0:0:root:/root:/bin/bash
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
alice:x:1000:1000::/home/alice:/bin/bash
`
const WITH_POSTGRES = `${DEBIAN}postgres:x:101:104:PostgreSQL:/var/lib/postgresql:/bin/bash\n`

test('root finds an account that is not root, or is told how to do without', () => {
  for (const passwd of ['', 'root:x:0:0:root:/root:/bin/sh\n', 'postgres:x:0:0::/:/bin/sh\n']) {
    assert.throws(() => serverAccount({ uid: 0, passwd, owner: undefined }), {
      code: 'EMBEDDED_POSTGRES_NO_ACCOUNT',
      message:
        'PostgreSQL refuses to run as root, and /etc/passwd has none of the accounts postgres, _postgres, nobody to run it as: start Midge as an ordinary user, or set DATABASE_URL to use a PostgreSQL server of your own',
    })
  }
  const nobody = { name: 'nobody', uid: 65_534, gid: 65_534 }
  const postgres = { name: 'postgres', uid: 101, gid: 104 }
  assert.deepEqual(serverAccount({ uid: 0, passwd: DEBIAN, owner: undefined }), nobody)
  assert.deepEqual(serverAccount({ uid: 0, passwd: WITH_POSTGRES, owner: undefined }), postgres)
})

test('a cluster stays its owner’s, unless that is root', () => {
  const chosen = (uid: number) =>
    serverAccount({ uid: 0, passwd: WITH_POSTGRES, owner: { uid, gid: 7 } })
  assert.deepEqual(chosen(1000), { name: 'alice', uid: 1000, gid: 7 })
  assert.deepEqual(chosen(999), { name: 'uid 999', uid: 999, gid: 7 })
  assert.equal(chosen(0)?.name, 'postgres')
})

test('anybody but root runs the server as itself', () => {
  for (const uid of [1000, undefined]) {
    assert.equal(serverAccount({ uid, passwd: DEBIAN, owner: { uid: 5, gid: 5 } }), undefined)
  }
})

test('lines that are no passwd entries are passed over, and -2 is what setuid takes', () => {
  const text =
    '## macOS\nnobody:*:-2:-2:Unprivileged User:/var/empty:/usr/bin/false\nbad:x:a:b::/:/\n\n'
  assert.deepEqual(parsePasswd(text), [
    { name: 'nobody', uid: 4_294_967_294, gid: 4_294_967_294, home: '/var/empty' },
  ])
  assert.deepEqual([...homesIn(DEBIAN)], ['/root', '/nonexistent', '/home/alice'])
})
