import { CircleAlert, CircleCheck, X } from 'lucide-react'
import { createContext, use, useCallback, useMemo, useRef, useState, type ReactNode } from 'react'
import { en } from '../words/en'
import { IconButton } from './Button'
import css from './Toast.module.css'

interface Toast {
  id: number
  tone: 'ok' | 'danger'
  text: string
}

const SHOWN_MS = 6000
const MOST = 3
const ToastContext = createContext<(text: string, tone?: Toast['tone']) => void>(() => {})

/** Returns a function that shows a short message. Errors stay until they are closed. */
export const useToast = (): ((text: string, tone?: Toast['tone']) => void) => use(ToastContext)

export function ToastProvider({ children }: { children: ReactNode }) {
  const [toasts, setToasts] = useState<Toast[]>([])
  const last = useRef(0)

  const close = useCallback((id: number) => setToasts((shown) => shown.filter((toast) => toast.id !== id)), [])
  const show = useCallback(
    (text: string, tone: Toast['tone'] = 'ok') => {
      const id = ++last.current
      setToasts((shown) => [...shown, { id, text, tone }].slice(-MOST))
      if (tone === 'ok') setTimeout(() => close(id), SHOWN_MS)
    },
    [close],
  )

  return (
    <ToastContext value={show}>
      {children}
      <div className={css.toasts} role="status">
        {useMemo(
          () =>
            toasts.map((toast) => (
              <div key={toast.id} className={css.toast} data-tone={toast.tone}>
                {toast.tone === 'ok' ? <CircleCheck size={16} aria-hidden /> : <CircleAlert size={16} aria-hidden />}
                <p>{toast.text}</p>
                <IconButton label={en.common.close} onClick={() => close(toast.id)}>
                  <X size={15} aria-hidden />
                </IconButton>
              </div>
            )),
          [close, toasts],
        )}
      </div>
    </ToastContext>
  )
}
