/** One simulated device: its own certificate, one connection over mutual TLS, QoS 1. */
import { connectAsync, type MqttClient } from 'mqtt'

export interface SimulatedDeviceOptions {
  readonly tenantId: string
  readonly deviceId: string
  readonly siteId: string
  readonly port: number
  /** PEM texts. */
  readonly serverCa: string
  readonly certificate: string
  readonly key: string
  /** 0 to 1 of each call. */
  readonly random: () => number
  /** A PUBACK came, after so many milliseconds. */
  acknowledged(ms: number): void
  sent(): void
}

export class SimulatedDevice {
  readonly #options: SimulatedDeviceOptions
  readonly #client: MqttClient
  #seq = 0

  private constructor(options: SimulatedDeviceOptions, client: MqttClient) {
    this.#options = options
    this.#client = client
    client.on('error', () => undefined)
  }

  static async connect(options: SimulatedDeviceOptions): Promise<SimulatedDevice> {
    const client = await connectAsync({
      protocol: 'mqtts',
      host: 'localhost',
      port: options.port,
      ca: options.serverCa,
      cert: options.certificate,
      key: options.key,
      clientId: options.deviceId,
      clean: false,
      protocolVersion: 4,
    })
    return new SimulatedDevice(options, client)
  }

  publishTelemetry(): void {
    const { random } = this.#options
    this.#publish('telemetry', {
      temp_c: Math.round((18 + 8 * random()) * 10) / 10,
      humidity_pct: Math.round(400 + 200 * random()) / 10,
      door_open: random() < 0.05 ? 1 : 0,
      mode: ['off', 'cool', 'heat', 'auto'][Math.floor(4 * random())] ?? 'off',
    })
  }

  publishHeartbeat(): void {
    this.#publish('heartbeat', {})
  }

  /** Waits for what is under way, then disconnects. */
  async stop(): Promise<void> {
    await this.#client.endAsync()
  }

  #publish(type: 'telemetry' | 'heartbeat', metrics: Record<string, unknown>): void {
    const { tenantId, deviceId } = this.#options
    const topic = `tenant/${tenantId}/device/${deviceId}/${type}`
    const body = {
      version: '1',
      ts: new Date().toISOString(),
      site_id: this.#options.siteId,
      seq: this.#seq++,
      metrics,
    }
    const sentAt = performance.now()
    this.#options.sent()
    this.#client.publish(topic, JSON.stringify(body), { qos: 1 }, (err) => {
      if (!err) this.#options.acknowledged(performance.now() - sentAt)
    })
  }
}
