import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createMessage, type QoS } from '../../../broker/store/message.ts'
import { FakeLink, LIVE, always, createSession, message } from './support.ts'

const QUALITIES: QoS[] = [0, 1, 2]

for (const published of QUALITIES) {
  for (const granted of QUALITIES) {
    const expected = Math.min(published, granted)
    test(`published QoS ${published}, granted ${granted}: delivered ${expected} [MQTT-3.8.4-6]`, () => {
      const session = createSession()
      const link = new FakeLink()
      session.attach(link, always)
      assert.equal(session.deliver(message('t', published), granted, LIVE), 'sent')
      assert.deepEqual(link.sent, [expected === 0 ? '0:t' : `${expected}:t#1`])
    })

    test(`published QoS ${published}, granted ${granted}, from the queue: delivered ${expected}`, () => {
      const session = createSession()
      const link = new FakeLink()
      const outcome = session.deliver(message('t', published), granted, LIVE)
      assert.equal(outcome, expected === 0 ? 'dropped_absent' : 'queued')
      session.attach(link, always)
      assert.deepEqual(link.sent, expected === 0 ? [] : [`${expected}:t#1`])
    })
  }
}

test('RETAIN is set for what a new subscription is owed, from the queue too, and never else', () => {
  const session = createSession({ maxInflightMessages: 1 })
  const link = new FakeLink()
  session.attach(link, always)
  const kept = createMessage({ topic: 't', payload: Buffer.from('x'), qos: 1, retain: true })
  session.deliver(kept, 1, LIVE)
  session.deliver(kept, 1, { retained: true })
  session.deliver(kept, 0, { retained: true })
  session.deliver(kept, 0, LIVE)
  session.puback(1)
  assert.deepEqual(link.sent, ['1:t#1', '0r:t', '0:t', '1r:t#2'])
})

test('what does not fit the window waits, and each PUBACK lets the next one out in order', () => {
  const session = createSession()
  const link = new FakeLink()
  session.attach(link, always)
  const outcomes = Array.from({ length: 25 }, (_, i) =>
    session.deliver(message(`t${i + 1}`), 1, LIVE),
  )
  assert.deepEqual(outcomes, [...Array(20).fill('sent'), ...Array(5).fill('queued')])
  assert.equal(link.take().length, 20)
  assert.equal(session.inflight, 20)
  assert.equal(session.queued, 5)
  assert.equal(session.puback(7), 'done')
  assert.deepEqual(link.take(), ['1:t21#21'])
  assert.equal(session.deliver(message('t26'), 1, LIVE), 'queued', 'nothing overtakes the queue')
  for (const id of [1, 2, 3, 4, 5]) session.puback(id)
  assert.deepEqual(link.take(), ['1:t22#22', '1:t23#23', '1:t24#24', '1:t25#25', '1:t26#26'])
})

test('a QoS 2 message keeps its place in the window until PUBCOMP', () => {
  const session = createSession({ maxInflightMessages: 1 })
  const link = new FakeLink()
  session.attach(link, always)
  session.deliver(message('a', 2), 2, LIVE)
  session.deliver(message('b', 1), 2, LIVE)
  assert.equal(session.pubrec(1), 'done')
  assert.deepEqual(link.take(), ['2:a#1', 'R#1'])
  assert.equal(session.pubcomp(1), 'done')
  assert.deepEqual(link.take(), ['1:b#2'])
})

test('QoS 0 does not wait behind a full window', () => {
  const session = createSession({ maxInflightMessages: 1 })
  const link = new FakeLink()
  session.attach(link, always)
  for (const topic of ['a', 'b']) session.deliver(message(topic), 1, LIVE)
  assert.equal(session.deliver(message('c', 0), 1, LIVE), 'sent')
  assert.deepEqual(link.take(), ['1:a#1', '0:c'])
})

type Step = ['puback' | 'pubrec' | 'pubcomp', number, 'done' | 'unknown' | 'wrong_flow']
const flows: [name: string, qos: 1 | 2, steps: Step[], sent: string[]][] = [
  [
    'PUBACK of an id never sent',
    1,
    [
      ['puback', 2, 'unknown'],
      ['puback', 0, 'unknown'],
    ],
    [],
  ],
  [
    'PUBREC and PUBCOMP of an id never sent',
    2,
    [
      ['pubrec', 9, 'unknown'],
      ['pubcomp', 9, 'unknown'],
    ],
    [],
  ],
  [
    'PUBREC for QoS 1',
    1,
    [
      ['pubrec', 1, 'wrong_flow'],
      ['puback', 1, 'done'],
    ],
    [],
  ],
  [
    'PUBCOMP for QoS 1',
    1,
    [
      ['pubcomp', 1, 'wrong_flow'],
      ['puback', 1, 'done'],
    ],
    [],
  ],
  [
    'PUBACK for QoS 2',
    2,
    [
      ['puback', 1, 'wrong_flow'],
      ['pubrec', 1, 'done'],
    ],
    ['R#1'],
  ],
  [
    'PUBACK for QoS 2 after PUBREC',
    2,
    [
      ['pubrec', 1, 'done'],
      ['puback', 1, 'wrong_flow'],
    ],
    ['R#1'],
  ],
  [
    'PUBCOMP before PUBREC',
    2,
    [
      ['pubcomp', 1, 'wrong_flow'],
      ['pubrec', 1, 'done'],
    ],
    ['R#1'],
  ],
  [
    'PUBACK twice',
    1,
    [
      ['puback', 1, 'done'],
      ['puback', 1, 'unknown'],
    ],
    [],
  ],
  [
    'PUBREC again after PUBREL',
    2,
    [
      ['pubrec', 1, 'done'],
      ['pubrec', 1, 'done'],
      ['pubcomp', 1, 'done'],
    ],
    ['R#1', 'R#1'],
  ],
  [
    'PUBREC after PUBCOMP',
    2,
    [
      ['pubrec', 1, 'done'],
      ['pubcomp', 1, 'done'],
      ['pubrec', 1, 'unknown'],
    ],
    ['R#1'],
  ],
  [
    'PUBCOMP twice',
    2,
    [
      ['pubrec', 1, 'done'],
      ['pubcomp', 1, 'done'],
      ['pubcomp', 1, 'unknown'],
    ],
    ['R#1'],
  ],
]
for (const [name, qos, steps, sent] of flows) {
  test(`${name}: ${steps.map(([, , outcome]) => outcome).join(', ')}`, () => {
    const session = createSession()
    const link = new FakeLink()
    session.attach(link, always)
    session.deliver(message('t', 2), qos, LIVE)
    link.take()
    for (const [verb, id, outcome] of steps) assert.equal(session[verb](id), outcome)
    assert.deepEqual(link.take(), sent)
  })
}

test('Packet Identifiers count from 1 and pass over those still in flight when they wrap', () => {
  const session = createSession({ maxInflightMessages: 4 })
  const link = new FakeLink()
  session.attach(link, always)
  const one = message('t')
  for (let i = 0; i < 3; i++) session.deliver(message('t', 2), 2, LIVE)
  session.pubrec(2) // 1 and 3 await PUBREC, 2 awaits PUBCOMP
  const used = []
  for (let i = 0; i < 131_072; i++) {
    session.deliver(one, 1, LIVE)
    const id = link.publishes.pop()?.options.packetId ?? 0
    used.push(id)
    if (session.puback(id) !== 'done') assert.fail(`${id}`)
  }
  assert.equal(used[0], 4)
  assert.equal(Math.max(...used.slice(0, 65_532)), 65_535)
  assert.deepEqual(used.slice(65_530, 65_534), [65_534, 65_535, 4, 5])
  assert.ok(used.every((id) => id > 3))
  assert.equal(session.inflight, 3)
})

test('a window wider than that ends where the Packet Identifiers do', () => {
  const session = createSession({ maxInflightMessages: 100_000, maxQueuedMessages: 10 })
  const link = new FakeLink()
  session.attach(link, always)
  const one = message('t')
  for (let i = 0; i < 65_535; i++) {
    if (session.deliver(one, 1, LIVE) !== 'sent') assert.fail(`${i}`)
  }
  assert.equal(session.deliver(one, 1, LIVE), 'queued')
  assert.equal(new Set(link.publishes.map(({ options }) => options.packetId)).size, 65_535)
  session.puback(300)
  assert.equal(link.publishes.at(-1)?.options.packetId, 300)
})
