// One conversation of an agent on the Vercel AI SDK with its default settings, as JSON on stdout.
// Usage: node ai_sdk.mjs BASE_URL MODEL
import { createOpenAI } from '@ai-sdk/openai';
import { generateObject, generateText, jsonSchema, stepCountIs, streamText, tool } from 'ai';

const [baseURL, model] = process.argv.slice(2);
const provider = createOpenAI({ baseURL, apiKey: 'sk-client' });
const schema = jsonSchema({
  type: 'object',
  properties: { city: { type: 'string' } },
  required: ['city'],
  additionalProperties: false,
});
const tools = {
  weather: tool({ description: 'Tells the weather.', inputSchema: schema, execute: ({ city }) => `${city}: sunny` }),
};
const settings = { model: provider.responses(model), tools, stopWhen: stepCountIs(3), maxRetries: 0 };

const errors = [];
const first = streamText({ ...settings, prompt: 'Weather?', onError: ({ error }) => errors.push(String(error)) });
const parts = [];
for await (const part of first.fullStream) parts.push(part.type);
const messages = [{ role: 'user', content: 'Weather?' }, ...(await first.responseMessages)];
messages.push({ role: 'user', content: 'Sure?' });
const second = await generateText({ ...settings, messages });
const third = await generateObject({ model: settings.model, schema, prompt: 'Where?', maxRetries: 0 });

console.log(
  JSON.stringify({
    errors,
    parts,
    steps: (await first.steps).length,
    texts: [await first.text, second.text],
    finished: [await first.finishReason, second.finishReason],
    tokens: (await first.totalUsage).totalTokens,
    object: third.object,
  }),
);
