/**
 * The certificate directory of a platform whose scripts call Debian's openssl: server CA and device
 * CA, their bundle, a server certificate, a CRL. Device certificates have no extensions at all.
 */
import { execFile } from 'node:child_process'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

export interface DeviceFiles {
  readonly cert: string
  readonly key: string
}

const CA_CONF = `
[ca]
default_ca = device
[device]
database = index.txt
certificate = device-ca.crt
private_key = device-ca.key
crlnumber = crlnumber
default_md = sha256
default_crl_days = 30
crl_extensions = crl
[crl]
authorityKeyIdentifier = keyid
`
const SUBJECT = '/C=US/ST=CA/O=Example/OU=IoT'

export class OpensslCertificates {
  readonly directory: string

  private constructor(directory: string) {
    this.directory = directory
  }

  /** Makes both authorities, the server's certificate for localhost and an empty CRL. */
  static async make(directory: string): Promise<OpensslCertificates> {
    await mkdir(directory, { recursive: true })
    const made = new OpensslCertificates(directory)
    await Promise.all([
      made.#authority('ca', 'Server CA'),
      made.#authority('device-ca', 'Device CA'),
    ])
    const bundle = [await made.read('ca.crt'), await made.read('device-ca.crt')].join('')
    await made.#write('combined-ca.crt', bundle)
    await made.#write('server.ext', 'subjectAltName = DNS:localhost, IP:127.0.0.1\n')
    await made.#leaf('ca', 'server', '/CN=localhost', ['-extfile', 'server.ext'])
    await made.#write('ca.conf', CA_CONF)
    await made.#write('index.txt', '')
    await made.#write('crlnumber', '01\n')
    await made.#writeCrl()
    return made
  }

  path(name: string): string {
    return join(this.directory, name)
  }

  read(name: string): Promise<string> {
    return readFile(this.path(name), 'utf8')
  }

  /** The slash between tenant and device is escaped, or openssl would cut the CN there. */
  device(tenant: string, device: string, { by = 'device-ca' } = {}): Promise<DeviceFiles> {
    return this.#leaf(by, `${tenant}-${device}-${by}`, `/O=Example/CN=${tenant}\\/${device}`)
  }

  /** Puts the certificate on the CRL, which is replaced by rename. */
  async revoke({ cert }: DeviceFiles): Promise<void> {
    await this.#openssl('ca', '-config', 'ca.conf', '-revoke', cert)
    await this.#writeCrl()
  }

  async #authority(name: string, commonName: string): Promise<void> {
    const constraints = ['basicConstraints=critical,CA:TRUE,pathlen:0']
    const usage = ['keyUsage=critical,keyCertSign,cRLSign']
    const extensions = [...constraints, ...usage].flatMap((each) => ['-addext', each])
    await this.#openssl(
      ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '3650', '-sha256'],
      ...['-subj', `${SUBJECT}/CN=${commonName}`, ...extensions],
      ...['-keyout', `${name}.key`, '-out', `${name}.crt`],
    )
  }

  async #leaf(by: string, name: string, subject: string, more: readonly string[] = []) {
    await this.#openssl(
      ...['req', '-new', '-newkey', 'rsa:2048', '-nodes', '-subj', subject],
      ...['-keyout', `${name}.key`, '-out', `${name}.csr`],
    )
    await this.#openssl(
      ...['x509', '-req', '-in', `${name}.csr`, '-CA', `${by}.crt`, '-CAkey', `${by}.key`],
      ...['-CAcreateserial', '-days', '365', '-sha256', '-out', `${name}.crt`, ...more],
    )
    return { cert: this.path(`${name}.crt`), key: this.path(`${name}.key`) }
  }

  async #writeCrl(): Promise<void> {
    await this.#openssl('ca', '-config', 'ca.conf', '-gencrl', '-out', 'device-crl.pem.tmp')
    await rename(this.path('device-crl.pem.tmp'), this.path('device-crl.pem'))
  }

  async #write(name: string, text: string): Promise<void> {
    await writeFile(this.path(name), text)
  }

  async #openssl(...args: readonly string[]): Promise<void> {
    await run('openssl', [...args], { cwd: this.directory })
  }
}
