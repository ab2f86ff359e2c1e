/** What the access rules say about one client and one topic, and which line says it. */
import { readFileSync } from 'node:fs'
import {
  accountDeviceOf,
  compileAcl,
  identityOf,
  isDeviceAccount,
  mayPublish,
  mayReceive,
  maySubscribe,
  type AccessRules,
  type Decision,
  type Identity,
} from '../broker/index.ts'
import { parseAclFile, parsePasswordFile } from '../config/index.ts'
import type { ExplainCommand } from '../config/index.ts'
import type { Config, ListenerConfig } from '../config/types.ts'
import { OperationalError } from '../core/errors.ts'
import { accessProblem } from '../core/file-access.ts'
import { issuerKey, serialNumber } from '../core/names.ts'
import { isCalled } from '../ingest/index.ts'
import type { JudgedCertificate } from './explain-certificate.ts'

export interface Explanation {
  /** One line for each listener asked about. */
  readonly lines: readonly string[]
  /** On all of them. */
  readonly allowed: boolean
}

/** Who, what, and where. */
export type Question = Pick<
  ExplainCommand,
  'identity' | 'access' | 'topic' | 'listener' | 'clientId'
>

interface Answer {
  readonly allowed: boolean
  readonly because: string
}

/**
 * Asks the same functions as the broker, of the files as they are now. `anonymous` is a client without
 * user name; any other name is a CN where the listener takes names from certificates, else an account,
 * or with tenants a device that the password_file has an account for.
 *
 * @throws OperationalError NO_SUCH_LISTENER, FILE_UNREADABLE; ConfigErrors of a bad file
 */
export function explain(
  question: Question,
  config: Config,
  judged?: ReadonlyMap<string, JudgedCertificate>,
): Explanation {
  const { listener: wanted } = question
  const listeners = config.listeners.filter(({ name }) => wanted === undefined || name === wanted)
  if (listeners.length === 0) {
    const names = config.listeners.map(({ name }) => name).join(', ')
    throw new OperationalError(
      'NO_SUCH_LISTENER',
      `there is no listener ${JSON.stringify(wanted)}; expected one of ${names}`,
    )
  }
  const answers = listeners.map((listener) => ({
    listener,
    ...(refusalBy(judged?.get(listener.name), listener, question.identity) ??
      answerOf(question, listener, config.tenancy)),
  }))
  return {
    lines: answers.map(
      ({ listener, allowed, because }) =>
        `listener ${listener.name}: ${allowed ? 'allowed' : 'denied'}: ${because}`,
    ),
    allowed: answers.every(({ allowed }) => allowed),
  }
}

/** Undefined: no certificate was judged here, or it is admitted under this name. */
function refusalBy(
  judged: JudgedCertificate | undefined,
  { name, tls }: ListenerConfig,
  identity: string,
): Answer | undefined {
  if (judged === undefined) return undefined
  if (!judged.admitted) return { allowed: false, because: `cannot connect: ${judged.text}` }
  const { commonName } = judged
  if (tls?.useIdentityAsUsername !== true || commonName === identity) return undefined
  const because = `cannot connect as ${identity}: on ${name} the certificate says ${commonName}`
  return { allowed: false, because }
}

function answerOf(question: Question, listener: ListenerConfig, tenancy: boolean): Answer {
  const { aclFile, accountAccess, mountPoint = '', useUsernameAsClientId } = listener
  const found = admitted(question.identity, listener, tenancy)
  if ('refused' in found) return { allowed: false, because: `cannot connect: ${found.refused}` }
  const { identity } = found
  const acl = aclFile === undefined ? undefined : compileAcl(parseAclFile(read(aclFile), aclFile))
  const rules: AccessRules = {
    tenancy,
    acl,
    accountAccess: accountAccess === 'everything' ? accountAccess : new Set(accountAccess),
  }
  const clientId =
    useUsernameAsClientId === true ? (identity.userName ?? '') : (question.clientId ?? '')
  const subject = { identity, clientId }
  const topic = `${mountPoint}${question.topic}`
  if (question.access === 'publish') return told(mayPublish(subject, topic, rules), aclFile)
  const granted = maySubscribe(subject, topic, rules)
  if (!granted.allowed) return told(granted, aclFile)
  if (topic.startsWith('$share/') || /[+#]/u.test(topic)) {
    const because = 'the subscription is granted; each message is decided by its own topic'
    return { allowed: true, because }
  }
  return told(mayReceive(subject, topic, rules), aclFile)
}

function told(decision: Decision, aclFile: string | undefined): Answer {
  const { allowed, rule } = decision
  const place = rule === undefined ? undefined : `${rule.file}:${rule.line}`
  if (allowed) {
    const otherwise = aclFile === undefined ? 'no acl_file' : 'no line of the acl_file is needed'
    return { allowed, because: place ?? otherwise }
  }
  return {
    allowed,
    because: place === undefined ? decision.reason : `${place} (${decision.reason})`,
  }
}

type Admitted = { readonly identity: Identity } | { readonly refused: string }

function admitted(name: string, listener: ListenerConfig, tenancy: boolean): Admitted {
  const { tls, psk, allowAnonymous, passwordFile } = listener
  if (tls?.useIdentityAsUsername === true || tls?.useSubjectAsUsername === true) {
    if (name === 'anonymous') return { refused: 'this listener takes names from certificates' }
    // As the broker: a whole subject names no device.
    if (tls.useSubjectAsUsername === true && tenancy) return { refused: 'subject_is_no_device' }
    const verdict = identityOf(certificateOf(name), tenancy)
    return verdict.refused ? { refused: verdict.reason } : { identity: verdict.identity }
  }
  if (psk?.useIdentityAsUsername === true) {
    if (name === 'anonymous') return { refused: 'this listener takes names from the psk_file' }
    return { identity: { kind: 'account', userName: name } }
  }
  if (name === 'anonymous') {
    if (!allowAnonymous) return { refused: 'allow_anonymous is false' }
    return { identity: { kind: 'anonymous', userName: undefined } }
  }
  if (passwordFile !== undefined) {
    const { accounts } = parsePasswordFile(read(passwordFile), passwordFile)
    if (!accounts.has(name)) {
      const device = tenancy ? deviceIn(accounts, name) : undefined
      if (device !== undefined) return { identity: device }
      return { refused: `${passwordFile} has no such account` }
    }
    if (tenancy && isDeviceAccount(name)) {
      return { refused: `which device ${name} is, its password tells: ask about TENANT/DEVICE` }
    }
    return { identity: { kind: 'account', userName: name } }
  }
  if (!allowAnonymous) return { refused: 'there is no password_file' }
  // Nobody proved the name: with tenants it is worth nothing.
  if (tenancy) return { identity: { kind: 'anonymous', userName: undefined } }
  return { identity: { kind: 'account', userName: name } }
}

/** Whether its token is the account's password is not looked at. */
function deviceIn(accounts: ReadonlyMap<string, unknown>, name: string): Identity | undefined {
  const [tenantId = '', deviceId, ...more] = name.split('/')
  if (deviceId === undefined || more.length > 0) return undefined
  const device = { tenantId, deviceId }
  for (const account of accounts.keys()) {
    if (isDeviceAccount(account) && isCalled(device, account)) {
      return accountDeviceOf(account, device)
    }
  }
  return undefined
}

/** One that stands for every certificate of this CN; nothing but the CN is looked at. */
function certificateOf(commonName: string) {
  return {
    commonName,
    issuerKey: issuerKey('0'.repeat(64)),
    serialNumber: serialNumber('0'),
    fingerprint: '',
    notAfter: Number.POSITIVE_INFINITY,
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (err) {
    throw new OperationalError(
      'FILE_UNREADABLE',
      `cannot read ${file}: ${accessProblem(file, err)}`,
      {
        cause: err,
      },
    )
  }
}
