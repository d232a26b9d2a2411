"""Where the model predicts native pixels from their neighbours better than interpolation does.

Arrays are (column, row).
"""

import numpy as np
from scipy import ndimage

__all__ = ["share_of_model"]

#: Columns and rows around a pixel whose predictions are compared.
_WINDOW = (7, 7)
#: Error of the model over that of interpolation up to which the model is used as it is, and from
#: which on it is not used. Noise, which both have, brings the ratio to one.
_USED, _REFUSED = 1.05, 1.25
#: Errors of predictions, in standard deviations, that are outliers whatever the model.
_WILD = 1e6
#: Pixels in the window that have to be predicted for the model to be refused.
_LEAST = 6.0


def share_of_model(flux, model, good, inverse):
    r"""
    Compare the model with linear interpolation on pixels that interpolation has not seen.

    A pixel is predicted from the two beside it: by their mean, and by the model plus the mean of
    their residuals, as pixels between them are filled. The sums of the absolute errors, in units of
    noise, over the window around it tell which is better there.

    Parameters
    ----------
    flux, model : ndarray
        Data and model at the native pixels, shape ``(column, row)``; finite where good.
    good : ndarray of bool
        Pixels that may be used.
    inverse : ndarray
        Inverse variances, 0 for pixels that do not count.

    Returns
    -------
    ndarray
        How much of the model is to be used around each pixel, from 0 to 1; 1 where too few pixels
        can be predicted. Shape ``(column, row)``.

    Notes
    -----
    The model has seen the pixel, but it has some six parameters per hundred pixels: its advantage
    from that is below `_USED`. Absolute values keep a cosmic ray, which neither predicts, from
    hiding what the others tell.
    """
    good = good & (inverse > 0)
    inner = good[:, :-2] & good[:, 1:-1] & good[:, 2:]
    if not inner.any():
        return np.ones(flux.shape)
    root = np.sqrt(inverse[:, 1:-1])

    def errors(values):
        values = np.where(good, values, 0.0)
        predicted = 0.5 * (values[:, :-2] + values[:, 2:])
        return np.where(inner, np.abs(values[:, 1:-1] - predicted) * root, 0.0)

    both = errors(flux), errors(flux - model)
    # A sum loses the digits of all others beside an outlier of 1e30.
    inner &= (both[0] < _WILD) & (both[1] < _WILD)
    both = tuple(np.where(inner, one, 0.0) for one in both)
    linear, modelled, count = (
        ndimage.uniform_filter(np.pad(one, ((0, 0), (1, 1))), _WINDOW, mode="constant")
        * (_WINDOW[0] * _WINDOW[1])
        for one in (*both, inner.astype(float))
    )
    ratio = np.divide(modelled, linear, out=np.ones_like(linear), where=linear > 0)
    share = np.clip((_REFUSED - ratio) / (_REFUSED - _USED), 0.0, 1.0)
    return np.where(count < _LEAST, 1.0, share)
