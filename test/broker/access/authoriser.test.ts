import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compileAcl } from '../../../broker/access/acl.ts'
import {
  type AccessRules,
  mayPublish,
  mayReceive,
  maySubscribe,
  type Subject,
} from '../../../broker/access/authoriser.ts'
import { DENIED, DENY_REASONS } from '../../../broker/access/decision.ts'
import { filterWithin, matches } from '../../../broker/access/topic-filter.ts'
import { identityOf } from '../../../broker/identity/certificate.ts'
import type { CertificateIdentity, DeviceIdentity } from '../../../broker/identity/identity.ts'
import { parseAclFile } from '../../../config/acl-file.ts'
import { isTopicFilter, issuerKey, serialNumber } from '../../../core/names.ts'

function certified(commonName: string, tenancy: boolean): DeviceIdentity | CertificateIdentity {
  const verdict = identityOf(
    {
      commonName,
      issuerKey: issuerKey('0'.repeat(64)),
      serialNumber: serialNumber('1'),
      fingerprint: '0'.repeat(64),
      notAfter: 0,
    },
    tenancy,
  )
  assert.ok(!verdict.refused)
  return verdict.identity
}

const device = (commonName: string, clientId = commonName): Subject => ({
  identity: certified(commonName, true),
  clientId,
})
const certificate = (commonName: string): Subject => ({
  identity: certified(commonName, false),
  clientId: 'c1',
})
const account = (userName: string): Subject => ({
  identity: { kind: 'account', userName },
  clientId: 'c1',
})
const anonymous: Subject = {
  identity: { kind: 'anonymous', userName: undefined },
  clientId: 'c1',
}

const aclOf = (...lines: readonly string[]) => compileAcl(parseAclFile(lines.join('\n'), 'acl'))
const SERVICE: ReadonlySet<string> = new Set(['service_pulse'])

/** What a newcomer starts with: no acl_file. */
const TENANTS: AccessRules = { tenancy: true, acl: undefined, accountAccess: SERVICE }
const OPEN_TENANTS: AccessRules = { tenancy: true, acl: undefined, accountAccess: 'everything' }
/** The shape of file a fleet brings along: patterns that name nobody. */
const FLEET: AccessRules = {
  tenancy: true,
  acl: aclOf(
    'topic read public/#',
    'user service_pulse',
    'topic readwrite #',
    'topic read $SYS/#',
    'user gateway',
    'topic write tenant/acme/device/+/telemetry',
    'topic readwrite $bridge/#',
    'topic readwrite $SYS/#',
    'user acme/pump-7',
    'topic readwrite tenant/#',
    'topic deny tenant/acme/device/pump-7/telemetry/secret',
    'pattern write tenant/+/device/+/telemetry/#',
    'pattern write tenant/+/device/+/shadow/reported',
    'pattern read tenant/+/device/+/shadow/desired',
    'pattern read tenant/+/device/+/commands',
    'pattern read tenant/+/device/+/jobs/#',
  ),
  accountAccess: 'everything',
}
const PLAIN: AccessRules = { tenancy: false, acl: undefined, accountAccess: 'everything' }
const LISTED: AccessRules = { tenancy: false, acl: undefined, accountAccess: SERVICE }
const MOSQUITTO: AccessRules = {
  tenancy: false,
  acl: aclOf(
    'topic read public/#',
    'user service_pulse',
    'topic readwrite #',
    'user acme/pump-7',
    'topic write tenant/acme/device/pump-7/#',
    'user reader',
    'topic read a/#',
    'topic read $SYS/#',
    'topic deny a/secret',
  ),
  accountAccess: SERVICE,
}
const EMPTY: AccessRules = { tenancy: true, acl: aclOf(''), accountAccess: 'everything' }

const pump7 = device('acme/pump-7')
const pump70 = device('acme/pump-70')
const globex = device('globex/pump-7')
const service = account('service_pulse')

type Asked = 'publish' | 'subscribe' | 'receive'
type Row = readonly [rules: AccessRules, who: Subject, asked: Asked, topic: string, reason: string]

const ask = { publish: mayPublish, subscribe: maySubscribe, receive: mayReceive }

const P = 'tenant/acme/device/pump-7/'

const REFUSED: readonly Row[] = [
  // Another tenant's topics, by every road.
  [TENANTS, pump7, 'publish', 'tenant/globex/device/pump-7/telemetry', 'outside_device'],
  [TENANTS, pump7, 'publish', 'tenant/globex/device/pump-7/shadow/reported', 'outside_device'],
  [TENANTS, pump7, 'receive', 'tenant/globex/device/pump-7/commands', 'outside_device'],
  [TENANTS, pump7, 'subscribe', 'tenant/globex/device/pump-7/commands', 'outside_device'],
  [TENANTS, pump7, 'subscribe', 'tenant/globex/device/pump-7/#', 'outside_device'],
  [TENANTS, globex, 'publish', `${P}telemetry`, 'outside_device'],
  [TENANTS, globex, 'subscribe', `${P}commands`, 'outside_device'],
  [TENANTS, globex, 'receive', `${P}commands`, 'outside_device'],
  [FLEET, pump7, 'publish', 'tenant/globex/device/pump-7/telemetry/x', 'outside_device'],
  [FLEET, pump7, 'receive', 'tenant/globex/device/pump-7/commands', 'outside_device'],
  [FLEET, pump7, 'subscribe', 'tenant/globex/device/pump-7/commands', 'outside_device'],
  [FLEET, globex, 'publish', `${P}telemetry/x`, 'outside_device'],
  [FLEET, globex, 'receive', `${P}commands`, 'outside_device'],
  [FLEET, globex, 'subscribe', `${P}#`, 'outside_device'],
  // Another device of the same tenant.
  [TENANTS, pump7, 'publish', 'tenant/acme/device/pump-8/telemetry', 'outside_device'],
  [TENANTS, pump7, 'receive', 'tenant/acme/device/pump-8/commands', 'outside_device'],
  [FLEET, pump7, 'receive', 'tenant/acme/device/pump-8/commands', 'outside_device'],
  // Names that begin alike.
  [TENANTS, pump7, 'publish', 'tenant/acme/device/pump-70/telemetry', 'outside_device'],
  [TENANTS, pump70, 'publish', `${P}telemetry`, 'outside_device'],
  [TENANTS, pump70, 'subscribe', `${P}commands`, 'outside_device'],
  [TENANTS, pump70, 'receive', `${P}commands`, 'outside_device'],
  [FLEET, pump70, 'receive', `${P}commands`, 'outside_device'],
  [TENANTS, pump7, 'subscribe', 'tenant/acme/device/pump-70/commands', 'outside_device'],
  [TENANTS, pump7, 'publish', 'tenant/acme2/device/pump-7/telemetry', 'outside_device'],
  [TENANTS, pump7, 'receive', 'tenant/acme2/device/pump-7/commands', 'outside_device'],
  [TENANTS, device('acme2/pump-7'), 'receive', `${P}commands`, 'outside_device'],
  [TENANTS, device('acm/pump-7'), 'receive', `${P}commands`, 'outside_device'],
  [TENANTS, device('acme/pump-'), 'publish', `${P}telemetry`, 'outside_device'],
  // Case, blanks and look-alikes.
  [TENANTS, pump7, 'publish', 'tenant/ACME/device/pump-7/telemetry', 'outside_device'],
  [TENANTS, pump7, 'publish', 'tenant/acme/device/Pump-7/telemetry', 'outside_device'],
  [TENANTS, pump7, 'publish', 'Tenant/acme/device/pump-7/telemetry', 'outside_device'],
  [TENANTS, pump7, 'publish', 'tenant/acme/Device/pump-7/telemetry', 'outside_device'],
  [TENANTS, pump7, 'publish', 'tenant/acme /device/pump-7/telemetry', 'outside_device'],
  [TENANTS, device('café/p'), 'publish', 'tenant/cafe\u0301/device/p/telemetry', 'outside_device'],
  // The shape of the topic.
  [TENANTS, pump7, 'publish', 'tenant/acme/device/pump-7', 'outside_device'],
  [TENANTS, pump7, 'receive', 'tenant/acme/device/pump-7', 'outside_device'],
  [TENANTS, pump7, 'subscribe', 'tenant/acme/device/pump-7', 'outside_device'],
  [TENANTS, pump7, 'publish', P, 'not_for_devices'],
  [TENANTS, pump7, 'receive', P, 'not_for_devices'],
  [TENANTS, pump7, 'publish', `/${P}telemetry`, 'outside_device'],
  [TENANTS, pump7, 'publish', 'tenant//acme/device/pump-7/telemetry', 'outside_device'],
  [TENANTS, pump7, 'publish', 'tenant/acme/device//pump-7/telemetry', 'outside_device'],
  [TENANTS, pump7, 'publish', 'tenant/acme//pump-7/telemetry', 'outside_device'],
  [TENANTS, pump7, 'publish', 'acme/pump-7/telemetry', 'outside_device'],
  [TENANTS, pump7, 'publish', 'telemetry', 'outside_device'],
  [TENANTS, pump7, 'publish', 'test/internal', 'outside_device'],
  [TENANTS, pump7, 'publish', '', 'invalid_topic'],
  [TENANTS, pump7, 'publish', `${P}#`, 'invalid_topic'],
  [TENANTS, pump7, 'publish', `${P}+`, 'invalid_topic'],
  [TENANTS, pump7, 'publish', 'tenant/+/device/pump-7/telemetry', 'invalid_topic'],
  [TENANTS, pump7, 'publish', `${P}tele\0metry`, 'invalid_topic'],
  [TENANTS, pump7, 'publish', `${P}${'x/'.repeat(200)}`, 'invalid_topic'],
  // Wildcards where the own ids belong.
  [TENANTS, pump7, 'subscribe', '#', 'outside_device'],
  [TENANTS, pump7, 'subscribe', '+/#', 'outside_device'],
  [TENANTS, pump7, 'subscribe', 'tenant/#', 'outside_device'],
  [TENANTS, pump7, 'subscribe', 'tenant/acme/#', 'outside_device'],
  [TENANTS, pump7, 'subscribe', 'tenant/acme/device/#', 'outside_device'],
  [TENANTS, pump7, 'subscribe', 'tenant/+/device/pump-7/commands', 'outside_device'],
  [TENANTS, pump7, 'subscribe', 'tenant/acme/device/+/commands', 'outside_device'],
  [TENANTS, pump7, 'subscribe', 'tenant/+/device/+/commands', 'outside_device'],
  [TENANTS, pump7, 'subscribe', '+/acme/device/pump-7/commands', 'outside_device'],
  [TENANTS, pump7, 'subscribe', 'tenant/acme/+/pump-7/commands', 'outside_device'],
  [TENANTS, pump7, 'subscribe', 'tenant/acme/device/pump-7#', 'invalid_filter'],
  [TENANTS, pump7, 'subscribe', `${P}#/x`, 'invalid_filter'],
  [TENANTS, pump7, 'subscribe', '', 'invalid_filter'],
  [FLEET, pump7, 'subscribe', '#', 'outside_device'],
  [FLEET, pump7, 'subscribe', 'tenant/#', 'outside_device'],
  [FLEET, pump7, 'subscribe', 'tenant/+/device/+/commands', 'outside_device'],
  // Shared subscriptions, whole or broken.
  [TENANTS, pump7, 'subscribe', `$share/g/${P}commands`, 'shared_subscription'],
  [TENANTS, pump7, 'subscribe', '$share/g/#', 'shared_subscription'],
  [TENANTS, pump7, 'subscribe', '$share/g/tenant/globex/device/p/#', 'shared_subscription'],
  [FLEET, pump7, 'subscribe', `$share/g/${P}commands`, 'shared_subscription'],
  [TENANTS, pump7, 'subscribe', '$share/x', 'malformed_share'],
  [PLAIN, service, 'subscribe', '$share', 'malformed_share'],
  [PLAIN, service, 'subscribe', '$share/x', 'malformed_share'],
  [PLAIN, service, 'subscribe', '$share//a', 'malformed_share'],
  [PLAIN, service, 'subscribe', '$share/+/a', 'malformed_share'],
  [PLAIN, service, 'subscribe', '$share/g/', 'malformed_share'],
  [PLAIN, service, 'subscribe', '$share/#', 'malformed_share'],
  [PLAIN, service, 'subscribe', '$share/g#/a', 'invalid_filter'],
  [PLAIN, service, 'subscribe', '$share/g/$share/h/a', 'malformed_share'],
  [TENANTS, account('eve'), 'subscribe', '$share/g/#', 'no_rights'],
  // $ topics.
  [TENANTS, pump7, 'publish', '$SYS/broker/version', 'broker_topic'],
  [TENANTS, pump7, 'publish', '$SYS/broker/connection/x/state', 'outside_device'],
  [TENANTS, pump7, 'subscribe', '$SYS/#', 'outside_device'],
  [TENANTS, pump7, 'receive', '$SYS/broker/version', 'outside_device'],
  [FLEET, pump7, 'receive', '$SYS/broker/version', 'outside_device'],
  [TENANTS, pump7, 'publish', `$${P}telemetry`, 'outside_device'],
  [TENANTS, service, 'publish', '$SYS/broker/version', 'broker_topic'],
  [FLEET, service, 'publish', '$SYS/broker/version', 'broker_topic'],
  [FLEET, account('gateway'), 'publish', '$SYS/broker/version', 'broker_topic'],
  [FLEET, service, 'publish', '$SYS/broker/connection/x/state', 'acl_no_match'],
  [FLEET, service, 'publish', '$bridge/x', 'acl_no_match'],
  [PLAIN, service, 'publish', '$SYS', 'broker_topic'],
  [PLAIN, service, 'publish', '$SYSTEM/x', 'broker_topic'],
  [PLAIN, service, 'publish', '$share/g/a', 'broker_topic'],
  [PLAIN, service, 'publish', '$CONTROL/broker/v1', 'broker_topic'],
  [MOSQUITTO, service, 'receive', '$SYS/broker/version', 'acl_no_match'],
  // Below the own prefix, without an acl_file.
  [TENANTS, pump7, 'publish', `${P}shadow/desired`, 'not_for_devices'],
  [TENANTS, pump7, 'publish', `${P}shadow`, 'not_for_devices'],
  [TENANTS, pump7, 'publish', `${P}shadow/reported/x`, 'not_for_devices'],
  [TENANTS, pump7, 'publish', `${P}commands`, 'not_for_devices'],
  [TENANTS, pump7, 'publish', `${P}commands/x`, 'not_for_devices'],
  [TENANTS, pump7, 'publish', `${P}jobs`, 'not_for_devices'],
  [TENANTS, pump7, 'publish', `${P}jobs/1`, 'not_for_devices'],
  [TENANTS, pump7, 'publish', `${P}ota`, 'not_for_devices'],
  [TENANTS, pump7, 'publish', `${P}heartbeat/x`, 'not_for_devices'],
  [TENANTS, pump7, 'publish', `${P}/telemetry`, 'not_for_devices'],
  [TENANTS, pump7, 'publish', `${P}telemetryx/y`, 'not_for_devices'],
  [TENANTS, pump7, 'receive', `${P}telemetry`, 'not_for_devices'],
  [TENANTS, pump7, 'receive', `${P}shadow/reported`, 'not_for_devices'],
  [TENANTS, pump7, 'receive', `${P}commands/ack`, 'not_for_devices'],
  [TENANTS, pump7, 'receive', `${P}ota/status`, 'not_for_devices'],
  [TENANTS, pump7, 'receive', `${P}jobsx`, 'not_for_devices'],
  [TENANTS, pump7, 'receive', `${P}shadow`, 'not_for_devices'],
  // Below the own prefix, with one: it only narrows.
  [FLEET, globex, 'publish', 'tenant/globex/device/pump-7/heartbeat', 'acl_no_match'],
  [FLEET, globex, 'publish', 'tenant/globex/device/pump-7/commands', 'acl_no_match'],
  [FLEET, globex, 'receive', 'tenant/globex/device/pump-7/telemetry', 'acl_no_match'],
  [FLEET, globex, 'receive', 'tenant/globex/device/pump-7/ota', 'acl_no_match'],
  [FLEET, pump7, 'publish', `${P}telemetry/secret`, 'acl_deny'],
  [FLEET, pump7, 'receive', 'public/x', 'outside_device'],
  [
    FLEET,
    device('acme/pump-9', 'c#'),
    'publish',
    'tenant/acme/device/pump-9/telemetry',
    'unsafe_name',
  ],
  [EMPTY, pump7, 'publish', `${P}telemetry`, 'acl_no_match'],
  [EMPTY, service, 'publish', 'test/internal', 'acl_no_match'],
  // Certificates that are no device; a CN is no account.
  [TENANTS, certificate('service_pulse'), 'publish', 'test/internal', 'not_a_device'],
  [TENANTS, certificate('service_pulse'), 'subscribe', '#', 'not_a_device'],
  [TENANTS, certificate('service_pulse'), 'receive', 'test/internal', 'not_a_device'],
  [FLEET, certificate('service_pulse'), 'publish', 'test/internal', 'not_a_device'],
  [FLEET, certificate('service_pulse'), 'receive', `${P}telemetry`, 'not_a_device'],
  [OPEN_TENANTS, certificate('x'), 'publish', 'a', 'not_a_device'],
  [TENANTS, device('service_pulse/x'), 'publish', 'test/internal', 'outside_device'],
  [TENANTS, device('x/service_pulse'), 'subscribe', '#', 'outside_device'],
  [LISTED, certificate('service_pulse'), 'publish', 'a', 'no_rights'],
  [LISTED, certificate('service_pulse'), 'subscribe', '#', 'no_rights'],
  [LISTED, certificate('service_pulse'), 'receive', 'a', 'no_rights'],
  // A device stays bound when tenancy is said to be off.
  [PLAIN, pump7, 'publish', 'tenant/globex/device/pump-7/telemetry', 'outside_device'],
  [PLAIN, pump7, 'subscribe', '#', 'outside_device'],
  [PLAIN, pump7, 'receive', 'test/internal', 'outside_device'],
  // Accounts and anonymous clients.
  [TENANTS, account('eve'), 'publish', 'a', 'no_rights'],
  [TENANTS, account('eve'), 'subscribe', 'a', 'no_rights'],
  [TENANTS, account('eve'), 'receive', 'a', 'no_rights'],
  [TENANTS, account('Service_pulse'), 'publish', 'a', 'no_rights'],
  [TENANTS, account('acme/pump-7'), 'publish', `${P}telemetry`, 'no_rights'],
  [TENANTS, anonymous, 'publish', 'a', 'no_rights'],
  [OPEN_TENANTS, anonymous, 'publish', `${P}telemetry`, 'no_rights'],
  [OPEN_TENANTS, anonymous, 'subscribe', '#', 'no_rights'],
  [OPEN_TENANTS, anonymous, 'receive', `${P}telemetry`, 'no_rights'],
  [FLEET, account('eve'), 'publish', `${P}telemetry/x`, 'acl_no_match'],
  [FLEET, account('eve'), 'receive', `${P}commands`, 'acl_no_match'],
  [
    FLEET,
    account('device_acme_pump-7'),
    'publish',
    'tenant/globex/device/p/telemetry',
    'acl_no_match',
  ],
  [FLEET, account('gateway'), 'publish', 'tenant/globex/device/p/telemetry', 'acl_no_match'],
  [FLEET, account('gateway'), 'receive', `${P}commands`, 'acl_no_match'],
  [FLEET, anonymous, 'publish', `${P}telemetry/x`, 'acl_no_match'],
  [FLEET, anonymous, 'publish', 'public/x', 'acl_no_match'],
  [FLEET, account('eve'), 'receive', 'public/x', 'acl_no_match'],
  [LISTED, account('eve'), 'publish', 'a', 'no_rights'],
  [LISTED, anonymous, 'subscribe', 'a', 'no_rights'],
  [MOSQUITTO, account('eve'), 'publish', 'a', 'acl_no_match'],
  [MOSQUITTO, anonymous, 'publish', 'public/x', 'acl_no_match'],
  [
    MOSQUITTO,
    certificate('acme/pump-7'),
    'publish',
    'tenant/globex/device/p/telemetry',
    'acl_no_match',
  ],
  [MOSQUITTO, account('reader'), 'receive', 'a/secret', 'acl_deny'],
  [MOSQUITTO, account('reader'), 'publish', 'a/b', 'acl_no_match'],
]

const ALLOWED: readonly Row[] = [
  [TENANTS, pump7, 'publish', `${P}telemetry`, ''],
  [TENANTS, pump7, 'publish', `${P}telemetry/`, ''],
  [TENANTS, pump7, 'publish', `${P}telemetry/a/b`, ''],
  [TENANTS, pump7, 'publish', `${P}heartbeat`, ''],
  [TENANTS, pump7, 'publish', `${P}shadow/reported`, ''],
  [TENANTS, pump7, 'publish', `${P}commands/ack`, ''],
  [TENANTS, pump7, 'publish', `${P}ota/status`, ''],
  [TENANTS, pump7, 'publish', `${P}vibration`, ''],
  [TENANTS, pump7, 'publish', `${P}$custom`, ''],
  [TENANTS, pump7, 'receive', `${P}shadow/desired`, ''],
  [TENANTS, pump7, 'receive', `${P}commands`, ''],
  [TENANTS, pump7, 'receive', `${P}jobs`, ''],
  [TENANTS, pump7, 'receive', `${P}jobs/1/start`, ''],
  [TENANTS, pump7, 'receive', `${P}ota`, ''],
  [TENANTS, pump7, 'subscribe', `${P}commands`, ''],
  [TENANTS, pump7, 'subscribe', `${P}shadow/desired`, ''],
  [TENANTS, pump7, 'subscribe', `${P}jobs/#`, ''],
  [TENANTS, pump7, 'subscribe', `${P}#`, ''],
  [TENANTS, pump7, 'subscribe', `${P}+`, ''],
  [TENANTS, pump7, 'subscribe', `${P}+/desired`, ''],
  [TENANTS, device('$SYS/p'), 'publish', 'tenant/$SYS/device/p/telemetry', ''],
  [TENANTS, device('tenant/device'), 'publish', 'tenant/tenant/device/device/telemetry', ''],
  [TENANTS, device('acme/pump-7', '#'), 'publish', `${P}telemetry`, ''],
  [OPEN_TENANTS, account('eve'), 'publish', `${P}commands`, ''],
  [TENANTS, service, 'publish', 'test/internal', ''],
  [TENANTS, service, 'publish', `${P}commands`, ''],
  [TENANTS, service, 'subscribe', '#', ''],
  [TENANTS, service, 'subscribe', '$SYS/#', ''],
  [TENANTS, service, 'subscribe', '$share/g/tenant/#', ''],
  [TENANTS, service, 'receive', `${P}telemetry`, ''],
  [TENANTS, service, 'receive', '$SYS/broker/version', ''],
  [FLEET, pump7, 'publish', `${P}telemetry`, ''],
  [FLEET, pump7, 'publish', `${P}heartbeat`, ''],
  [FLEET, globex, 'publish', 'tenant/globex/device/pump-7/telemetry', ''],
  [FLEET, globex, 'publish', 'tenant/globex/device/pump-7/shadow/reported', ''],
  [FLEET, globex, 'receive', 'tenant/globex/device/pump-7/jobs/1', ''],
  [FLEET, globex, 'subscribe', 'tenant/globex/device/pump-7/#', ''],
  [FLEET, service, 'publish', `${P}commands`, ''],
  [FLEET, service, 'receive', '$SYS/broker/version', ''],
  [FLEET, account('gateway'), 'publish', 'tenant/acme/device/p/telemetry', ''],
  [FLEET, account('gateway'), 'publish', '$bridge/x', ''],
  [FLEET, account('gateway'), 'publish', '$SYS/broker/connection/x/state', ''],
  [FLEET, account('eve'), 'subscribe', '#', ''],
  [FLEET, anonymous, 'receive', 'public/x', ''],
  [PLAIN, account('eve'), 'publish', '$other/x', ''],
  [PLAIN, account('eve'), 'publish', '$SYS/broker/connection/x/state', ''],
  [PLAIN, certificate('acme/pump-7'), 'publish', 'anything', ''],
  [PLAIN, anonymous, 'subscribe', '#', ''],
  [PLAIN, anonymous, 'receive', 'anything', ''],
  [LISTED, service, 'publish', 'a', ''],
  [MOSQUITTO, certificate('acme/pump-7'), 'publish', `${P}telemetry`, ''],
  [MOSQUITTO, certificate('service_pulse'), 'publish', 'a', ''],
  [MOSQUITTO, account('eve'), 'subscribe', '#', ''],
  [MOSQUITTO, account('reader'), 'receive', '$SYS/broker/version', ''],
  [MOSQUITTO, anonymous, 'receive', 'public/x', ''],
]

const rulesName = new Map<AccessRules, string>([
  [TENANTS, 'tenants'],
  [OPEN_TENANTS, 'tenants, open accounts'],
  [FLEET, 'tenants and an acl_file'],
  [PLAIN, 'no tenants'],
  [LISTED, 'no tenants, listed accounts'],
  [MOSQUITTO, 'no tenants, an acl_file'],
  [EMPTY, 'tenants and an empty acl_file'],
])

function titleOf([rules, who, asked, topic]: Row): string {
  const { kind, userName } = who.identity
  const shown = JSON.stringify(topic.slice(0, 60))
  return `${rulesName.get(rules)}: ${kind} ${userName ?? ''} ${asked} ${shown}`
}

test('refused', async (t) => {
  for (const row of REFUSED) {
    const [rules, who, asked, topic, reason] = row
    await t.test(`${titleOf(row)}: ${reason}`, () => {
      const decision = ask[asked](who, topic, rules)
      assert.equal(decision.allowed ? 'allowed' : decision.reason, reason)
    })
  }
})

test('allowed', async (t) => {
  for (const row of ALLOWED) {
    const [rules, who, asked, topic] = row
    await t.test(titleOf(row), () => {
      const decision = ask[asked](who, topic, rules)
      assert.equal(decision.allowed ? '' : decision.reason, '')
    })
  }
})

test('every reason is refused for somewhere above', () => {
  const seen = new Set(REFUSED.map(([, , , , reason]) => reason))
  assert.deepEqual([...seen].sort(), [...DENY_REASONS].sort())
  for (const [reason, decision] of Object.entries(DENIED)) assert.equal(decision.reason, reason)
})

test('a refusal by the acl_file names the line, and one by the prefix does not', () => {
  assert.deepEqual(mayPublish(pump7, `${P}telemetry/secret`, FLEET), {
    allowed: false,
    reason: 'acl_deny',
    rule: { file: 'acl', line: 11 },
  })
  assert.deepEqual(mayPublish(pump7, 'a', FLEET), { allowed: false, reason: 'outside_device' })
})

// ---- whatever the acl_file says

/** mulberry32: the same sequence on every machine. */
function randomOf(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

test('whatever the acl_file: a device is allowed nothing but what is below its prefix', () => {
  const random = randomOf(20_240_607)
  const pick = <T>(from: readonly T[]): T => from[random(from.length)] as T
  const ids = ['acme', 'acme2', 'a', 'pump-7', 'pump-70', '$SYS', 'tenant', 'device', 'ä b', '%u']
  const words = [
    ...ids,
    'telemetry',
    'commands',
    'jobs',
    'shadow',
    'desired',
    '',
    '+',
    '#',
    '%c',
    '%t',
    '%d',
  ]
  const levels = (most: number) =>
    Array.from({ length: 1 + random(most) }, () => pick(words)).join('/')
  // Half of the texts begin like a device's topic: pure noise would seldom come near one.
  const text = () =>
    random(2) === 0 ? levels(7) : `tenant/${pick(words)}/device/${pick(words)}/${levels(3)}`
  const line = () => {
    const filter = text()
    const access = pick(['read', 'write', 'readwrite', 'deny'])
    if (random(6) === 0) return `user ${pick(ids)}/${pick(ids)}`
    return isTopicFilter(filter) ? `${pick(['topic', 'pattern'])} ${access} ${filter}` : '# none'
  }

  let allowed = 0
  for (let round = 0; round < 300; round++) {
    const acl = random(4) === 0 ? undefined : aclOf(...Array.from({ length: 12 }, line))
    const rules: AccessRules = {
      tenancy: random(8) !== 0,
      acl,
      accountAccess: random(2) === 0 ? 'everything' : SERVICE,
    }
    const who = device(`${pick(ids)}/${pick(ids)}`, pick([...words, 'x/y', 'a/#']))
    assert.ok(who.identity.kind === 'device')
    const { topicPrefix } = who.identity
    for (let i = 0; i < 60; i++) {
      const topic = random(3) === 0 ? `${topicPrefix}${levels(3)}` : text()
      const filter = random(3) === 0 ? `${topicPrefix}${levels(3)}` : text()
      if (mayPublish(who, topic, rules).allowed || mayReceive(who, topic, rules).allowed) {
        assert.ok(topic.startsWith(topicPrefix) && topic.length > topicPrefix.length, topic)
        allowed++
      }
      if (maySubscribe(who, filter, rules).allowed) {
        assert.ok(filterWithin(filter, `${topicPrefix}#`), filter)
        if (matches(filter, topic) && mayReceive(who, topic, rules).allowed) {
          assert.ok(topic.startsWith(topicPrefix), `${filter} ${topic}`)
        }
        allowed++
      }
    }
  }
  assert.ok(allowed > 1000, `only ${allowed} cases were allowed: the test shows little`)
})

test('an acl_file that gives a device everything leaves it within its prefix', () => {
  const wide: AccessRules = { ...FLEET, acl: aclOf('user acme/pump-7', 'topic readwrite #') }
  for (const [, who, asked, topic] of REFUSED) {
    if (who.identity.kind !== 'device' || asked === 'subscribe') continue
    if (topic.startsWith(who.identity.topicPrefix)) continue
    assert.equal(ask[asked](who, topic, wide).allowed, false, topic)
  }
})
