import * as z from 'zod';
import { nameSchema } from '#shared/protocol/primitives.js';

/** Without one, the deployment with most traffic. */
export const endpointOpenApiQuery = z.object({ deployment: nameSchema.optional() });
/** An OpenAPI 3.1 document. */
export const endpointOpenApiBody = z.record(z.string(), z.unknown());
