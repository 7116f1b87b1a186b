/** Reading files in the form of Azure ML v2: fields that mean something here, and those of which it is said why not. Pure. */
import type { AppError } from '#shared/kernel/errors.js';
import { isName } from '#shared/kernel/names.js';
import { invalidFile, isMapping, refuseUnknownFields } from '../yaml-fields.js';

/** What becomes of a field, where that is not what its name says. */
export interface FieldNote {
  readonly field: string;
  readonly note: string;
}

/** Absent: it stays as it is. */
export interface AzureIdentity {
  readonly name: string;
  readonly description?: string;
  readonly tags?: Readonly<Record<string, string>>;
}
export const identityFields = ['name', 'description', 'tags'] as const;

/** One mapping of a file, read field by field. A field that is null, as YAML has an empty one, is not there. */
export class AzureFields {
  readonly notes: FieldNote[];

  private constructor(
    private readonly value: Readonly<Record<string, unknown>>,
    private readonly where: string,
    private readonly prefix: string,
    notes: FieldNote[],
  ) {
    this.notes = notes;
  }

  /**
   * @param known fields that are read
   * @param meaningless fields that Azure has and nothing here is like, each with why
   * @throws AppError `request.invalid` for one that neither has
   */
  static of(
    value: unknown,
    where: string,
    known: readonly string[],
    meaningless: Readonly<Record<string, string>>,
    within: { readonly prefix: string; readonly notes: FieldNote[] } = { prefix: '', notes: [] },
  ): AzureFields {
    const { prefix, notes } = within;
    if (!isMapping(value)) throw invalidFile(where, `${prefix === '' ? 'it' : prefix.slice(0, -1)} is no mapping`);
    refuseUnknownFields(value, ['$schema', ...known, ...Object.keys(meaningless)], where, prefix);
    for (const [field, note] of Object.entries(meaningless)) {
      if (isGiven(value, field)) notes.push({ field: prefix + field, note });
    }
    return new AzureFields(value, where, prefix, notes);
  }

  has(field: string): boolean {
    return isGiven(this.value, field);
  }

  raw(field: string): unknown {
    return this.has(field) ? this.value[field] : undefined;
  }

  note(field: string, note: string): void {
    this.notes.push({ field: this.prefix + field, note });
  }

  text(field: string): string | undefined {
    const value = this.raw(field);
    if (value === undefined || typeof value === 'string') return value;
    throw this.wrong(field, 'is no text');
  }

  name(field: string, what: string): string | undefined {
    const value = this.text(field)?.trim();
    if (value === undefined || isName(value)) return value;
    throw this.wrong(field, `"${value.slice(0, 80)}" is no name of a ${what} here: 1 to 63 of a-z, 0-9 and "-"`);
  }

  /** What both kinds begin with. @param what it names, such as an endpoint */
  identity(what: string): AzureIdentity {
    const name = this.name('name', what);
    if (name === undefined) throw this.missing('name', `it names the ${what}`);
    const description = this.text('description');
    const tags = this.tags('tags');
    return { name, ...(description === undefined ? {} : { description }), ...(tags === undefined ? {} : { tags }) };
  }

  whole(field: string, least: number, most: number): number | undefined {
    const value = this.raw(field);
    if (value === undefined) return undefined;
    const number = typeof value === 'string' && /^\d{1,9}$/.test(value) ? Number(value) : value;
    if (typeof number === 'number' && Number.isInteger(number) && number >= least && number <= most) return number;
    throw this.wrong(field, `must be a whole number from ${String(least)} to ${String(most)}`);
  }

  /** Percent by deployment. */
  shares(field: string): Record<string, number> | undefined {
    const value = this.raw(field);
    if (value === undefined) return undefined;
    if (!isMapping(value)) throw this.wrong(field, 'is no mapping of deployments to percent');
    const shares = new Map<string, number>();
    for (const name of Object.keys(value)) {
      if (!isName(name)) throw this.wrong(field, `"${name.slice(0, 80)}" is no name of a deployment here`);
      const inside = new AzureFields(value, this.where, `${this.prefix}${field}.`, this.notes);
      shares.set(name, inside.whole(name, 0, 100) ?? 0);
    }
    return Object.fromEntries(shares);
  }

  /** Values that are numbers or flags become text, as they do there. */
  tags(field: string): Record<string, string> | undefined {
    const value = this.raw(field);
    if (value === undefined) return undefined;
    if (!isMapping(value)) throw this.wrong(field, 'is no mapping');
    const tags = new Map<string, string>();
    for (const [name, tag] of Object.entries(value)) {
      if (tag !== null && typeof tag === 'object') throw this.wrong(`${field}.${name.slice(0, 80)}`, 'is no text');
      tags.set(name, tag === null ? '' : String(tag));
    }
    return Object.fromEntries(tags);
  }

  inner(
    field: string,
    known: readonly string[],
    meaningless: Readonly<Record<string, string>> = {},
  ): AzureFields | undefined {
    const value = this.raw(field);
    if (value === undefined) return undefined;
    const within = { prefix: `${this.prefix}${field}.`, notes: this.notes };
    return AzureFields.of(value, this.where, known, meaningless, within);
  }

  wrong(field: string, what: string): AppError {
    return invalidFile(this.where, `${this.prefix}${field} ${what}`);
  }

  missing(field: string, help: string): AppError {
    return invalidFile(this.where, `${this.prefix}${field} is missing: ${help}`);
  }
}

function isGiven(value: Readonly<Record<string, unknown>>, field: string): boolean {
  return Object.hasOwn(value, field) && value[field] !== null && value[field] !== undefined;
}
