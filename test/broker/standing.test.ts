import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import type { AuthenticationRules } from '../../broker/authentication.ts'
import { PasswordAccounts, type Identity } from '../../broker/identity/index.ts'
import { isStillWelcome } from '../../broker/standing.ts'
import { hashPassword, parsePasswordFile } from '../../config/index.ts'
import { deviceId, tenantId } from '../../core/names.ts'
import { noCertificates } from '../helpers/broker.ts'

const bobsFile = parsePasswordFile(`bob:${hashPassword('x', { random: randomBytes })}\n`, 'passwd')
const accounts = new PasswordAccounts(bobsFile, { random: randomBytes })

const anonymous: Identity = { kind: 'anonymous', userName: undefined }
const account = (userName: string): Identity => ({ kind: 'account', userName })

const device = (accountName: string): Identity => ({
  kind: 'device',
  userName: 'acme/pump',
  tenantId: tenantId('acme'),
  deviceId: deviceId('pump'),
  topicPrefix: 'tenant/acme/device/pump/',
  certificate: undefined,
  accountName,
})

interface Case {
  readonly who: Identity
  readonly presented?: string
  readonly rules: Partial<AuthenticationRules>
  readonly changed?: readonly string[]
}

const REFUSED: Readonly<Record<string, Case>> = {
  'anonymous, where it is no longer allowed': { who: anonymous, rules: { allowAnonymous: false } },
  'anonymous by a name nobody proved, where names are proved now': {
    who: anonymous,
    presented: 'bob',
    rules: { allowAnonymous: true, tenancy: true, accounts },
  },
  'an account that the file does not hold': { who: account('eve'), rules: { accounts } },
  'an account whose line is another one, or stands there for the first time': {
    who: account('bob'),
    rules: { accounts, allowAnonymous: true },
    changed: ['bob'],
  },
  'an account without any file, where nobody comes in without': {
    who: account('bob'),
    rules: { allowAnonymous: false },
  },
  'an account without any file, with tenants: its name means something': {
    who: account('bob'),
    rules: { allowAnonymous: true, tenancy: true },
  },
  'a device whose account the file does not hold': {
    who: device('eve'),
    rules: { accounts, tenancy: true },
  },
  'a device whose account has another line': {
    who: device('bob'),
    rules: { accounts, tenancy: true },
    changed: ['bob'],
  },
  'a device with an account, without any file': {
    who: device('bob'),
    rules: { allowAnonymous: true, tenancy: true },
  },
  'the identity of a key that changed': {
    who: account('bob'),
    rules: { identityFrom: 'psk' },
    changed: ['bob'],
  },
}

const WELCOME: Readonly<Record<string, Case>> = {
  'anonymous, where it is allowed': { who: anonymous, rules: { allowAnonymous: true, accounts } },
  'an account whose line is as it was': {
    who: account('bob'),
    presented: 'bob',
    rules: { accounts },
    changed: ['eve'],
  },
  'a device whose account has the line it had': {
    who: device('bob'),
    rules: { accounts, tenancy: true },
    changed: ['acme/pump'],
  },
  'any name where none is proved': { who: account('eve'), rules: { allowAnonymous: true } },
  'the identity of a key that is as it was': {
    who: account('bob'),
    rules: { identityFrom: 'psk', accounts },
  },
  'a name that a proxy has verified, whatever the file of accounts says': {
    who: account('eve'),
    rules: { identityFrom: 'proxy', accounts },
    changed: ['eve'],
  },
}

function ask({ who, presented, rules, changed = [] }: Case): boolean {
  const inForce: AuthenticationRules = {
    tenancy: false,
    identityFrom: undefined,
    allowAnonymous: false,
    accounts: undefined,
    certificates: noCertificates,
    registry: undefined,
    ...rules,
  }
  return isStillWelcome(who, presented, inForce, (name) => changed.includes(name))
}

test('who would not be let in any more has to leave', () => {
  for (const [what, one] of Object.entries(REFUSED)) assert.equal(ask(one), false, what)
})

test('who would be let in again stays', () => {
  for (const [what, one] of Object.entries(WELCOME)) assert.equal(ask(one), true, what)
})
