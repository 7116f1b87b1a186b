/** The front's certificate in its files, which others renew. */
import { readFile, stat } from 'node:fs/promises';
import { diskError } from '#shared/platform/atomic-file.js';
import type { TlsFiles } from '../front/front-server.js';
import type { HostConfig } from './host-config.js';

export class FrontCertificate {
  /** Of the certificate in use. */
  private modifiedMs: number | undefined;

  constructor(private readonly files: NonNullable<HostConfig['front']['tls']>) {}

  /** @throws AppError `disk.*` */
  async read(): Promise<TlsFiles> {
    const { certificateFile, privateKeyFile } = this.files;
    try {
      // Before it is read: one that is renewed meanwhile is found later.
      const modifiedMs = await this.modified();
      const files = { cert: await readFile(certificateFile), key: await readFile(privateKeyFile) };
      this.modifiedMs = modifiedMs;
      return files;
    } catch (error) {
      throw diskError(error, 'cannot read the certificate of the front');
    }
  }

  /**
   * Uses what was renewed since it was read. Where certificate and key do not belong together, since only one of them was
   * written yet, the one in use stays, and the next look finds both.
   *
   * @throws AppError `disk.*`, and what `use` throws
   */
  async follow(use: (files: TlsFiles) => void): Promise<void> {
    const before = this.modifiedMs;
    if ((await this.modified()) === before) return;
    const files = await this.read();
    const read = this.modifiedMs;
    this.modifiedMs = before;
    use(files);
    this.modifiedMs = read;
  }

  private async modified(): Promise<number> {
    return (await stat(this.files.certificateFile)).mtimeMs;
  }
}
