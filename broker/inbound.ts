/**
 * The way of a PUBLISH, and of a Will: may this identity write here, is it ingested, who wants it.
 * One function for every door, so that no door can skip a step.
 */
import type { MqttConfig } from '../config/types.ts'
import type { Clock } from '../core/clock.ts'
import type { Metrics } from '../core/metrics.ts'
import type { AccessPolicy } from './access-policy.ts'
import { mayPublish, type Subject } from './access/index.ts'
import { MountPoint } from './mount-point.ts'
import { isTooLarge } from './mqtt-rules.ts'
import { PayloadSlab } from './payload-slab.ts'
import type { Publisher, TelemetrySink } from './ports.ts'
import { reportTopicOf, type ReportTopic } from './reports.ts'
import type { Publication, Router } from './router.ts'
import type { MessageSource } from './store/index.ts'
import { telemetryTopicOf, type TelemetryTopic } from './telemetry.ts'

/** Who sends: the same for every PUBLISH of a connection. */
export interface Origin {
  readonly subject: Subject
  readonly publisher: Publisher
  readonly policy: AccessPolicy
  readonly mountPoint: MountPoint
  /** Stays with retained messages; holds nothing of the connection. */
  readonly source: MessageSource
  /** What was decided for the last Topic Names, until the access rules change. */
  readonly decisions: Map<string, PublishDecision>
}

export interface PublishDecision {
  readonly version: number
  readonly allowed: boolean
  readonly reason: string
  readonly telemetry: TelemetryTopic | undefined
  readonly report: ReportTopic | undefined
}

const REMEMBERED_TOPICS = 16

export function createOrigin(subject: Subject, policy: AccessPolicy, mountPoint?: string): Origin {
  const { identity, clientId } = subject
  const fingerprint = 'certificate' in identity ? identity.certificate?.fingerprint : undefined
  const publisher = { kind: identity.kind, userName: identity.userName, clientId, fingerprint }
  const source: MessageSource = {
    mayStillPublish: (topic) => mayPublish(subject, topic, policy.rules).allowed,
  }
  return {
    subject,
    publisher,
    policy,
    mountPoint: new MountPoint(mountPoint),
    source,
    decisions: new Map(),
  }
}

export class Inbound {
  readonly #sink: TelemetrySink | undefined
  readonly #router: Router
  readonly #metrics: Pick<Metrics, 'publishReceived' | 'publishRefused'>
  readonly #clock: Clock
  readonly #mqtt: MqttConfig
  readonly #clearsRetain: boolean
  readonly #slab = new PayloadSlab()

  constructor(parts: {
    sink: TelemetrySink | undefined
    router: Router
    metrics: Pick<Metrics, 'publishReceived' | 'publishRefused'>
    clock: Clock
    mqtt: MqttConfig
    /** Default `honour`. */
    deviceRetain?: 'honour' | 'clear' | undefined
  }) {
    this.#sink = parts.sink
    this.#router = parts.router
    this.#metrics = parts.metrics
    this.#clock = parts.clock
    this.#mqtt = parts.mqtt
    this.#clearsRetain = parts.deviceRetain === 'clear'
  }

  /**
   * A promise when the message has to be stored first: it settles once it is stored and routed, and
   * rejects when it was not taken (then it must not be acknowledged). Otherwise the message is
   * routed, refused, or dropped as too large, on return.
   *
   * @param sent with the topic as the client wrote it
   */
  accept(origin: Origin, sent: Publication): 'routed' | 'refused' | 'dropped' | Promise<void> {
    if (isTooLarge(sent.payload, this.#mqtt)) {
      this.#metrics.publishRefused.inc({ reason: 'payload_too_large' })
      return 'dropped'
    }
    // A Will may be older than the rule; a PUBLISH with RETAIN ended its connection.
    const clears =
      !this.#mqtt.retainAvailable ||
      (this.#clearsRetain && origin.subject.identity.kind === 'device')
    const publication = publicationOf(sent, origin, clears)
    const decision = this.#decide(origin, publication.topic)
    if (!decision.allowed) {
      this.#refuse(origin, publication, decision.reason)
      return 'refused'
    }
    this.#metrics.publishReceived.inc()
    const { telemetry, report } = decision
    if (telemetry === undefined || this.#sink === undefined) {
      if (report !== undefined && this.#sink !== undefined) {
        return this.#report(this.#sink, report, origin, publication)
      }
      this.#router.publish(publication)
      return 'routed'
    }
    const { tenantId, deviceId, msgType } = telemetry
    const { topic, qos, retain, source } = publication
    const payload = this.#slab.own(publication.payload)
    const stored: Publication = { topic, payload, qos, retain, source }
    const { publisher } = origin
    const receivedAt = this.#clock.now()
    // Not `{ ...telemetry, … }`: V8 11.3 (Node.js 20) gives each object made so a hidden class of its
    // own, 5 µs here and slow reads in all that follows; more than half of the cost of a PUBLISH.
    return this.#sink
      .append({ tenantId, deviceId, msgType, topic, payload, qos, receivedAt, publisher })
      .then(() => this.#router.publish(stored))
  }

  /** False while ingest is full: telemetry of QoS 1 and 2 has to wait where it is. */
  get hasRoom(): boolean {
    return this.#sink?.hasRoom ?? true
  }

  /** Calls once when `hasRoom` is true again. */
  onRoom(then: () => void): void {
    this.#sink?.onRoom(then)
  }

  #report(
    sink: TelemetrySink,
    { kind, tenantId, deviceId }: ReportTopic,
    { publisher }: Origin,
    publication: Publication,
  ): Promise<void> {
    const { topic, qos, retain, source } = publication
    const payload = this.#slab.own(publication.payload)
    const stored: Publication = { topic, payload, qos, retain, source }
    const receivedAt = this.#clock.now()
    return sink
      .report({ kind, tenantId, deviceId, topic, payload, qos, receivedAt, publisher })
      .then(() => this.#router.publish(stored))
  }

  #decide(origin: Origin, topic: string): PublishDecision {
    const { version } = origin.policy
    const known = origin.decisions.get(topic)
    if (known?.version === version) return known
    const decision = mayPublish(origin.subject, topic, origin.policy.rules)
    const fresh: PublishDecision = {
      version,
      allowed: decision.allowed,
      reason: decision.allowed ? '' : decision.reason,
      telemetry: decision.allowed ? telemetryTopicOf(topic) : undefined,
      report: decision.allowed ? reportTopicOf(origin.subject.identity, topic) : undefined,
    }
    if (origin.decisions.size >= REMEMBERED_TOPICS) origin.decisions.clear()
    origin.decisions.set(topic, fresh)
    return fresh
  }

  #refuse(origin: Origin, { topic, payload }: Publication, reason: string): void {
    this.#metrics.publishRefused.inc({ reason })
    const { identity } = origin.subject
    const device = identity.kind === 'device' ? identity : undefined
    this.#sink?.recordDenied({
      tenantId: device?.tenantId,
      deviceId: device?.deviceId,
      topic,
      payload: this.#slab.own(payload),
      publisher: origin.publisher,
    })
  }
}

/** Mounted, and with its source where it will be asked for. Most messages pass as they are. */
function publicationOf(
  sent: Publication,
  { mountPoint, source }: Origin,
  clearsRetain: boolean,
): Publication {
  const topic = mountPoint.topicIn(sent.topic)
  if (topic === sent.topic && !sent.retain) return sent
  const { payload, qos } = sent
  return { topic, payload, qos, retain: sent.retain && !clearsRetain, source }
}
