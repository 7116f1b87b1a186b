/**
 * Passwords on the broker, hashed as Mosquitto 2 keeps them: `$7$iterations$salt$hash`, PBKDF2 with
 * SHA-512, so that one stored form serves both brokers. Secrets are 256 random bits, so the number
 * of iterations is Mosquitto's own and no protection rests on it.
 */
import { createHmac, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';

const derive = promisify(pbkdf2);
const iterations = 101;
const saltBytes = 12;
const hashBytes = 64;
/** More would let a stored hash cost a core. */
const maxIterations = 1_000_000;

/** 256 random bits in base64url: a device's password, an enrolment token's secret. */
export function newSecret(): string {
  return randomBytes(32).toString('base64url');
}

export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(saltBytes);
  const hash = await derive(password, salt, iterations, hashBytes, 'sha512');
  return `$7$${String(iterations)}$${salt.toString('base64')}$${hash.toString('base64')}`;
}

const storedPattern = /^\$7\$([1-9][0-9]{0,6})\$([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+)$/;

/** False for a wrong password, and for a stored text that is no such hash. */
export async function verifyPassword(password: string | Buffer, stored: string): Promise<boolean> {
  const match = storedPattern.exec(stored);
  if (!match) return false;
  const [, rounds = '', salt = '', expected = ''] = match;
  const wanted = Buffer.from(expected, 'base64');
  if (wanted.length !== hashBytes || Number(rounds) > maxIterations) return false;
  const found = await derive(password, Buffer.from(salt, 'base64'), Number(rounds), hashBytes, 'sha512');
  return timingSafeEqual(found, wanted);
}

/**
 * Remembers which passwords were right, so that a fleet that reconnects does not cost a derivation a
 * device. Holds no password: the key is a MAC, under a key of this process, over the stored hash and
 * the password, so a changed hash or a wrong password never hits, and a dump tells nothing.
 */
export class PasswordVerifier {
  private readonly macKey = randomBytes(32);
  private readonly verified = new Set<string>();

  constructor(private readonly capacity = 20_000) {}

  async verify(password: string | Buffer, stored: string): Promise<boolean> {
    const key = createHmac('sha256', this.macKey).update(`${stored}\0`).update(password).digest('base64');
    if (this.verified.has(key)) {
      this.remember(key);
      return true;
    }
    if (!(await verifyPassword(password, stored))) return false;
    this.remember(key);
    return true;
  }

  /** Last in the set is the most recently used; the first one goes when it is full. */
  private remember(key: string): void {
    this.verified.delete(key);
    this.verified.add(key);
    if (this.verified.size <= this.capacity) return;
    const [oldest] = this.verified;
    if (oldest !== undefined) this.verified.delete(oldest);
  }
}
