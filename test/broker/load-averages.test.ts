import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LoadAverages } from '../../broker/load-averages.ts'

test('averages per minute over 1, 5 and 15 minutes, as Mosquitto reckons them', () => {
  const loads = new LoadAverages(0)
  assert.deepEqual(loads.update({ sockets: 0 }, 0), {
    'sockets/1min': '0.00',
    'sockets/5min': '0.00',
    'sockets/15min': '0.00',
  })
  // Measured with Mosquitto 2.0.11: 8 sockets in the first 2 seconds, then 2 seconds without one.
  assert.deepEqual(loads.update({ sockets: 8 }, 2000), {
    'sockets/1min': '7.87',
    'sockets/5min': '1.59',
    'sockets/15min': '0.53',
  })
  assert.deepEqual(loads.update({ sockets: 8 }, 4000), {
    'sockets/1min': '7.61',
    'sockets/5min': '1.58',
    'sockets/15min': '0.53',
  })
})

test('a steady rate is its own average, and what was is forgotten', () => {
  const loads = new LoadAverages(0)
  let count = 0
  const minutes = (n: number, perMinute: number) => {
    let texts: Readonly<Record<string, string>> = {}
    for (let i = 0; i < n * 6; i++) {
      count += perMinute / 6
      now += 10_000
      texts = loads.update({ bytes: count }, now)
    }
    return texts
  }
  let now = 0
  assert.deepEqual(minutes(200, 60), {
    'bytes/1min': '60.00',
    'bytes/5min': '60.00',
    'bytes/15min': '60.00',
  })
  assert.deepEqual(minutes(15, 0), {
    'bytes/1min': '0.00',
    'bytes/5min': (60 * Math.exp(-3)).toFixed(2),
    'bytes/15min': (60 * Math.exp(-1)).toFixed(2),
  })
})

test('an update without time gone by changes nothing and loses nothing', () => {
  const loads = new LoadAverages(0)
  assert.equal(loads.update({ x: 50 }, 0)['x/1min'], '0.00')
  assert.equal(loads.update({ x: 60 }, 60_000)['x/1min'], (60 * (1 - Math.exp(-1))).toFixed(2))
})
