/** The name of a model's only input, as the scoring host tells it; kept until other versions answer. */
import { request } from 'node:http';
import type { ScoringAddress } from './ask-module.js';

const maxBytes = 256 * 1024;

/** Where the model has several, or cannot be asked: the host then says what it wants of whoever asks. */
const guess = 'image';

export class ModelInputs {
  private readonly known = new Map<string, string>();

  constructor(private readonly scoring: ScoringAddress) {}

  forget(): void {
    this.known.clear();
  }

  async onlyInput(module: string): Promise<string> {
    const known = this.known.get(module);
    if (known !== undefined) return known;
    const name = onlyInputIn(await this.metadata(module));
    if (name === undefined) return guess;
    this.known.set(module, name);
    return name;
  }

  private metadata(module: string): Promise<string> {
    const { address, port, token } = this.scoring;
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    return new Promise((resolve) => {
      const asked = request(
        { host: address, port, path: `/v2/models/${module}`, agent: false, headers },
        (response) => {
          let text = '';
          response.setEncoding('utf8');
          response.on('data', (part: string) => {
            text = text.length > maxBytes ? text : text + part;
          });
          response.on('end', () => resolve(text));
          response.on('error', () => resolve(''));
        },
      );
      asked.on('error', () => resolve(''));
      asked.end();
    });
  }
}

/** @param metadata of the V2 protocol; undefined for anything else, and for a model with several inputs */
export function onlyInputIn(metadata: string): string | undefined {
  try {
    const { inputs } = JSON.parse(metadata) as { readonly inputs?: readonly { readonly name?: unknown }[] };
    const name = inputs?.length === 1 ? inputs[0]?.name : undefined;
    return typeof name === 'string' ? name : undefined;
  } catch {
    return undefined;
  }
}
