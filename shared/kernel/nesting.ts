/**
 * Is a text of YAML nested deeper than any document of ours? Asked before it is parsed: where the parser's recursion
 * comes near the end of the stack, V8 ends the process rather than throw. Counts brackets, those in texts as well.
 */
export function isNestedTooDeep(text: string, most = 200): boolean {
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const letter = text[at];
    if (letter === '[' || letter === '{') depth += 1;
    else if ((letter === ']' || letter === '}') && depth > 0) depth -= 1;
    if (depth > most) return true;
  }
  // Levels without brackets, in one line or over several: "- - - a" and "? ? ? a".
  return new RegExp(`(?:[-?:]\\s+){${String(most)}}`).test(text);
}
