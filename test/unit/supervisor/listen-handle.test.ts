import { createServer, type AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { bindHandle } from '#shared/supervisor/listen-handle.js';

describe('bindHandle', () => {
  it('picks a free port for 0, and gives it back when closed', () => {
    const first = bindHandle('127.0.0.1', 0);
    expect(first.port).toBeGreaterThan(0);
    first.close();
    const again = bindHandle('127.0.0.1', first.port);
    expect(again.port).toBe(first.port);
    again.close();
  });

  it('names the port and a remedy when somebody listens there', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    expect(() => bindHandle('127.0.0.1', port)).toThrowError(
      expect.objectContaining({ code: 'port.taken', message: expect.stringContaining(String(port)) as string }),
    );
    await new Promise((resolve) => server.close(resolve));
  });

  it('refuses a host name, which may be two addresses', () => {
    expect(() => bindHandle('localhost', 0)).toThrowError(expect.objectContaining({ code: 'config.invalid' }));
  });

  it('refuses an address that is not of this machine', () => {
    expect(() => bindHandle('203.0.113.1', 0)).toThrowError(expect.objectContaining({ code: 'port.taken' }));
  });
});
