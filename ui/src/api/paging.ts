import { useInfiniteQuery } from '@tanstack/react-query'
import { toProblem } from './problem'

interface Answer<T> {
  data?: T[]
  error?: unknown
  response: Response
}

/** A list that is a plain array, page by page: the next page's cursor is in the header `Link`. */
export const useLinkedPages = <T>(key: readonly string[], load: (cursor: { cursor?: string }) => Promise<Answer<T>>) =>
  useInfiniteQuery({
    queryKey: key,
    initialPageParam: '',
    queryFn: async ({ pageParam }) => {
      const { data, error, response } = await load(pageParam ? { cursor: pageParam } : {})
      if (!data) throw toProblem(response, error)
      return { rows: data, next: nextCursor(response.headers.get('link')) }
    },
    getNextPageParam: (last) => last.next,
  })

function nextCursor(link: string | null): string | null {
  const next = link?.split(',').find((part) => part.includes('rel="next"'))
  const address = next?.slice(next.indexOf('<') + 1, next.indexOf('>'))
  return address ? new URL(address, location.href).searchParams.get('cursor') : null
}
