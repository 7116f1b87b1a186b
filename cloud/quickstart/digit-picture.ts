const shades = ' .:-=+*#%@';

/** An 8x8 image with values 0 to 16, row-major, as eight lines of text, two characters a pixel. */
export function drawDigit(pixels: readonly number[]): string[] {
  return Array.from({ length: 8 }, (_, row) =>
    pixels
      .slice(row * 8, row * 8 + 8)
      .map((value) =>
        (shades[Math.min(shades.length - 1, Math.round((value / 16) * (shades.length - 1)))] ?? ' ').repeat(2),
      )
      .join('')
      .trimEnd(),
  );
}
