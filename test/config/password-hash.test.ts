import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parsePasswordFile } from '../../config/password-file.ts'
import { hashPassword } from '../../config/password-hash.ts'

const random = (bytes: number) => Buffer.alloc(bytes, 7)

test('the hash has a salt of 12 bytes, which Mosquitto 2.0 needs, and 1000 iterations', () => {
  const field = hashPassword('secret', { random })
  // Computed by Python: hashlib.pbkdf2_hmac('sha512', b'secret', b'\x07' * 12, 1000)
  assert.equal(
    field,
    '$7$1000$BwcHBwcHBwcHBwcH$OtFiOd3XgUi74aICkKElsQ55FyD8++NRGjqHM0dQXPMCyRe4vXIdxMPwQSH3bywl6SpF7UdsVGKoOsDE9qE2vA==',
  )
  const verifier = parsePasswordFile(`bob:${field}\n`, 'passwd').accounts.get('bob')
  assert.equal(verifier?.scheme, 'pbkdf2-sha512')
})

test('the hash is of the bytes, and of the iterations asked for', () => {
  const field = hashPassword(Buffer.from('secret'), { random, iterations: 1 })
  assert.match(field, /^\$7\$1\$/u)
  assert.notEqual(field, hashPassword('Secret', { random, iterations: 1 }))
})

test('an empty password, no iterations and a short salt are refused', () => {
  assert.throws(() => hashPassword('', { random }), new RangeError('a password is not empty'))
  for (const iterations of [0, -1, 1.5, Number.NaN]) {
    assert.throws(
      () => hashPassword('x', { random, iterations }),
      new RangeError(`iterations is an integer from 1, not ${iterations}`),
    )
  }
  assert.throws(
    () => hashPassword('x', { random: () => Buffer.alloc(3) }),
    new RangeError('random gave 3 bytes, not 12'),
  )
})
