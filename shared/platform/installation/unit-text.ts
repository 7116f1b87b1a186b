/** Text of a systemd unit. Lines are in the order given; a value of several lines is a setting given several times. */
export type UnitSections = Readonly<Record<string, Readonly<Record<string, string | readonly string[]>>>>;

export function unitText(about: string, sections: UnitSections): string {
  const blocks = Object.entries(sections).map(([name, settings]) => {
    const lines = Object.entries(settings).flatMap(([key, value]) =>
      [value].flat().map((one) => `${key}=${String(one)}`),
    );
    return [`[${name}]`, ...lines].join('\n');
  });
  return `# ${about}\n${blocks.join('\n\n')}\n`;
}
