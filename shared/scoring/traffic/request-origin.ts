/** What a request says, beside its body, about where it wants to go. */
import { AppError } from '#shared/kernel/errors.js';

/** Pins a request to a version; Azure ML's name for the same is understood too. */
export const versionHeader = 'flotilla-version';
export const deploymentHeader = 'azureml-model-deployment';
/** Requests with the same value go to the same version while weights stay. */
export const routeKeyHeader = 'flotilla-route-key';

export type RequestHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** What traffic must know of a request, on any face. */
export interface RequestOrigin {
  readonly requestId: string;
  /** It named its version: it is not mirrored. */
  readonly pinned: boolean;
}

/** @param request its id, headers and parameters of the URL */
export function originOf(request: {
  readonly id: string;
  readonly headers: RequestHeaders;
  readonly params?: unknown;
}): RequestOrigin {
  const { params } = request;
  const inUrl = typeof params === 'object' && params !== null && 'version' in params;
  return { requestId: request.id, pinned: inUrl || pinOf(request.headers) !== undefined };
}

/**
 * The version that the headers name.
 *
 * @throws AppError `request.invalid` for two that differ
 */
export function pinOf(headers: RequestHeaders): string | undefined {
  if (headers[versionHeader] === undefined && headers[deploymentHeader] === undefined) return undefined;
  const named = [headers[versionHeader], headers[deploymentHeader]].flatMap((value) => value ?? []);
  const [first, ...others] = named.filter((value) => value !== '');
  const other = others.find((value) => value !== first);
  if (other !== undefined) {
    throw new AppError(
      'request.invalid',
      `the request is pinned to version "${first ?? ''}" and to "${other}": name one`,
    );
  }
  return first;
}

export function routeKeyOf(headers: RequestHeaders): string | undefined {
  const value = headers[routeKeyHeader];
  const key = Array.isArray(value) ? value[0] : value;
  return key === '' ? undefined : key;
}
