/**
 * `GET /score`: the values of the query as the JSON object of a body. A value that is JSON stands as it
 * is, digits and all; any other is a string; a name given more than once is a list.
 */
export function queryToJson(query: string): string {
  const values = new Map<string, string[]>();
  for (const [name, value] of new URLSearchParams(query)) {
    const given = values.get(name);
    const text = isJson(value) ? value : JSON.stringify(value);
    if (given) given.push(text);
    else values.set(name, [text]);
  }
  const fields = [...values].map(([name, given]) => {
    const value = given.length === 1 ? (given[0] ?? '') : `[${given.join(',')}]`;
    return `${JSON.stringify(name)}:${value}`;
  });
  return `{${fields.join(',')}}`;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
