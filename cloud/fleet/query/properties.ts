/** What can be asked of a device: the vocabulary of the query language, and of the facts that answer it. Pure. */
import { nearest, isName } from '#shared/kernel/names.js';
import { err, ok, type Result } from '#shared/kernel/result.js';
import { sandboxAspects } from '#shared/protocol/sandbox.js';

/**
 * `text`: texts. `number`: numbers. `version`: texts such as 1.2.3, in their order. `yes-no`: known only where
 * it is yes. `tag`: a text, and a number too where it reads as one.
 */
export type PropertyType = 'text' | 'number' | 'version' | 'yes-no' | 'tag';

export interface Property {
  /** One spelling for one thing, whichever way it was written. */
  readonly name: string;
  readonly type: PropertyType;
}

/** In one word; every other bare word is a tag. */
const plain: Readonly<Record<string, PropertyType>> = {
  name: 'text',
  online: 'yes-no',
  converged: 'yes-no',
  release: 'text',
  refused: 'text',
};

const capabilities: Readonly<Record<string, PropertyType>> = {
  agentVersion: 'version',
  platform: 'text',
  hostname: 'text',
  cpus: 'number',
  memoryBytes: 'number',
  gpu: 'yes-no',
  npu: 'yes-no',
  fpga: 'yes-no',
};

const moduleFields: Readonly<Record<string, PropertyType>> = {
  version: 'number',
  state: 'text',
  provider: 'text',
  candidate: 'text',
};

const groups = ['tags', 'capabilities', 'modules'];
const tagName = /^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$/;

/** Words that stand for a device's properties, for whoever mistyped one. */
export const plainWords: readonly string[] = Object.keys(plain);

/** @returns the property, or what is wrong with the word and which is nearest */
export function resolveProperty(word: string): Result<Property, string> {
  const dot = word.indexOf('.');
  if (dot < 0) {
    const type = own(plain, word);
    if (type !== undefined) return ok({ name: word, type });
    if (groups.includes(word)) return err(`${word} needs one of them, for example ${exampleOf(word)}`);
    return tag(word);
  }
  const rest = word.slice(dot + 1);
  switch (word.slice(0, dot)) {
    case 'tags':
      return tag(rest);
    case 'capabilities':
      return capability(rest);
    case 'modules':
      return ofModule(rest);
    default: {
      const near = nearest(word.slice(0, dot), groups);
      const meant = near === undefined ? `tags.${word}, for a tag of that name` : `${near}.${rest}`;
      return err(`there is no property ${word}; did you mean ${meant}?`);
    }
  }
}

function tag(name: string): Result<Property, string> {
  return tagName.test(name) ? ok({ name: `tags.${name}`, type: 'tag' }) : err(`"${name}" is no name of a tag`);
}

function capability(name: string): Result<Property, string> {
  const type = own(capabilities, name);
  if (type !== undefined) return ok({ name: `capabilities.${name}`, type });
  const [group, aspect = ''] = name.split('.', 2);
  if (group === 'sandbox' && (sandboxAspects as readonly string[]).includes(aspect) && name.split('.').length === 2) {
    return ok({ name: `capabilities.${name}`, type: 'yes-no' });
  }
  if (group === 'accelerators' && /^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$/.test(aspect) && name.split('.').length === 2) {
    return ok({ name: `capabilities.${name}`, type: 'yes-no' });
  }
  const known = [
    ...Object.keys(capabilities),
    ...sandboxAspects.map((one) => `sandbox.${one}`),
    'accelerators.<provider>',
  ];
  return unknown(`capabilities.${name}`, name, known, 'capabilities.');
}

function ofModule(rest: string): Result<Property, string> {
  const [module = '', field, ...more] = rest.split('.');
  if (!isName(module)) return err(`"${module}" is no name of a module; write for example ${exampleOf('modules')}`);
  if (field === undefined) return ok({ name: `modules.${module}`, type: 'yes-no' });
  const type = more.length === 0 ? own(moduleFields, field) : undefined;
  if (type !== undefined) return ok({ name: `modules.${module}.${field}`, type });
  return unknown(`modules.${rest}`, [field, ...more].join('.'), Object.keys(moduleFields), `modules.${module}.`);
}

function unknown(word: string, part: string, known: readonly string[], prefix: string): Result<Property, string> {
  const near = nearest(part, known);
  const help = near === undefined ? `there are ${prefix}${known.join(', ')}` : `did you mean ${prefix}${near}?`;
  return err(`there is no property ${word}; ${help}`);
}

function exampleOf(group: string): string {
  return group === 'tags' ? 'tags.site' : group === 'modules' ? 'modules.digits.version' : 'capabilities.gpu';
}

/** By own keys only: every object inherits a `constructor`. */
function own(table: Readonly<Record<string, PropertyType>>, name: string): PropertyType | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined;
}

/** Type of a property by its canonical name. @throws Error for a name that {@link resolveProperty} did not make */
export function typeOf(name: string): PropertyType {
  const resolved = resolveProperty(name);
  if (!resolved.ok) throw new Error(`not a property: ${name}`);
  return resolved.value.type;
}
