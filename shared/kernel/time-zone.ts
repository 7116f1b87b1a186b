/** Names of time zones, such as Europe/Berlin. Pure but for the zones that this Node knows. */

export function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).format(0).length > 0;
  } catch {
    return false;
  }
}

/** Of the operating system; what it says and nobody knows is UTC. */
export function systemTimeZone(): string {
  const { timeZone } = new Intl.DateTimeFormat('en').resolvedOptions();
  return isTimeZone(timeZone) ? timeZone : 'UTC';
}
