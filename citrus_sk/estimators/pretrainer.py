"""Estimator for self-supervised pre-training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted

from .._utils.devices import out_of_memory_hint, resolve_device, usual_modes
from .._utils.validation import all_or_nothing
from ..nn import CitrusNetwork, MaskedAutoencoder, NetworkConfig, TaskConfig
from ..signals.containers import Windows
from ..signals.recordings.corpus import Corpus
from ..signals.recordings.reading import as_corpus, is_corpus_source
from ..signals.windows import read_windows, to_float32
from ..training.draws import own_draws
from ..training.nets import infer
from ..training.pretraining.processes import launched_together
from ..training.pretraining.run import masked_loss
from .base import NetworkEstimator, pack, unpack
from .pretrain_info import make_info
from .pretrain_plan import (
    check_known_modalities,
    check_parameters,
    choose_seed,
    make_sampler,
    pretrain,
    task_config,
    with_rate,
)
from .pretrain_start import make_start, read_checkpoint_to_continue

if TYPE_CHECKING:
    from ..checkpoints.checkpoint import Checkpoint

_SHAPE = ("n_chans_", "n_times_", "n_features_in_", "feature_names_in_", "_fitted_on_2d")


class CitrusPretrainer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, NetworkEstimator):
    """Self-supervised pre-training of the network on unlabelled recordings.

    Tokens of random crops are hidden, and the network learns to predict their samples or their
    spectrum from the others. A fitted pre-trainer, or the file that `save` writes, can be passed
    as ``pretrained=`` to `CitrusClassifier`, `CitrusRegressor` and `CitrusEmbedder`.

    Parameters
    ----------
    objective : {"freq", "time", "both"}, default="freq"
        Target of the prediction for a hidden token: the log spectrum around it, its samples, or
        both.
    preset : {"tiny", "small", "base"}, default="small"
        Size of the network.
    pretrained : str, path-like, CitrusPretrainer or None, default=None
        Checkpoint whose weights the training starts from: a name (see `list_pretrained`), a path,
        or a fitted pre-trainer. `objective`, `frame`, `cross_channel` and `preset` must be those
        of the checkpoint. None starts from random weights.
    masking : {"latent", "input"}, default="latent"
        Whether tokens are hidden after the convolution, or their samples before it.
    mask_ratio : float, default=0.5
        Share of the tokens to hide, above 0 and at most 0.95.
    run_length : tuple of two int, default=(4, 8)
        Shortest and longest run of hidden tokens; a token sees some 65 samples to each side.
    frame : int, default=128
        Number of samples of the frame whose spectrum is predicted, which must be even.
    cross_channel : bool, default=False
        Whether up to 4 simultaneous channels are drawn together, with a layer of attention between
        them before the prediction. Like the decoders, this layer is not used after pre-training.
    modalities : sequence of str or None, default=None
        Kinds of signal of a corpus to train on; None means all. Each has the same weight, whatever
        its number of hours.
    modality : str or None, default=None
        Kind of signal of an array, such as ``"EEG"``. None means the kinds of the channels of
        Epochs, and ``"signal"`` for other arrays.
    crop : tuple of two float, default=(0.1, 1.5)
        Shortest and longest crop, as multiples of the window of the network, and at most 2. All
        are resampled to one window, so that windows of any duration resemble some in training.
    flip : bool, default=False
        Whether to change the sign of half of the windows, for signals whose sign has no meaning.
    episodes : float, default=0.0
        Share of each batch, in [0, 1), for few-label tasks. In such a task, ridges are fitted to
        the features of a few labelled windows, and their error on other windows trains the network.
        Classes are recordings, people, channels, and synthetic changes of the windows.
    episode_weight : float, default=0.02
        Weight of the loss of these tasks beside the masked loss, whose gradient is much smaller.
    episode_classes : dict of str to str or None, default=None
        Further classes for these tasks: for a data set, a regular expression whose first group in
        the name of a recording is the class of the recording, such as an activity.
    sigreg_weight : float, default=0.0
        Weight of SIGReg (Balestriero and LeCun, 2025), which makes the features independent of each
        other; 0.25 is suitable for batches of hundreds of windows.
    unknown : float, default=0.5
        Share of windows, in [0, 1], whose modality is hidden from the network. They train the
        embedding of all other kinds of signal.
    validation_fraction : float, default=0.1
        Share of the people, in [0, 0.5], whose recordings are held out to measure the loss.
    n_passes : float, default=10
        Average number of times that every second of the recordings is used.
    max_steps : int or None, default=None
        Number of batches; None derives it from `n_passes`.
    max_minutes : float or None, default=None
        Minutes of training, without reading the recordings, after which the run ends if it has not
        reached its number of batches. The learning rate then follows the share of the time or of
        the batches that is used, whichever is larger, so that it is zero at the end. None means
        no limit. The weights depend on the speed of the machine if there is a limit.
    batch_size : int, default=64
        Number of windows in a batch, each of a single channel.
    learning_rate : float or "auto", default="auto"
        Highest learning rate of AdamW, in a linear warm-up and a cosine to zero. ``"auto"`` is 1e-3
        from random weights and 3e-4 from those of a checkpoint.
    weight_decay : float, default=0.05
        Weight decay of AdamW, for matrices and convolution kernels.
    warmup : float, default=0.05
        Share of the steps in the warm-up of the learning rate, in [0, 1].
    ema : float, default=0.05
        Span of the moving average of the weights that is kept, as a share of the run in [0, 1];
        0 keeps the weights of the last step.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Precision of the forward pass; ``"auto"`` means bfloat16 on a GPU that supports it.
    compile : bool, default=False
        Whether to use `torch.compile`.
    device : str or torch.device, default="auto"
        Device of the network. ``"auto"`` means CUDA or Apple's MPS if available, else the CPU.
    run_file : path-like or None, default=None
        File in which the run is saved every `save_minutes`, on Ctrl-C and at the end, if any.
    save_minutes : float, default=5
        Minutes between two saves of the run.
    resume : bool, default=False
        Whether to resume the run in `run_file` if the file exists. On a CPU, the result has the
        same bits as that of a run without an interruption.
    random_state : int, RandomState instance or None, default=None
        Seed of the initial weights, crops, masks, dropout and the choice of held-out people.
    verbose : int, default=0
        1 shows a progress bar with the masked loss and the remaining time.

    Attributes
    ----------
    autoencoder_ : torch.nn.Module
        The masked auto-encoder with the averaged weights, in evaluation mode.
    history_ : list of dict
        About 50 rows with ``step``, ``seconds``, and the mean masked ``loss`` since the previous
        row; ``episode_loss`` and ``sigreg_loss`` for the losses that are added to it; and, if
        people were held out, ``held_out_loss`` and ``held_out_by_modality``.
    modalities_ : tuple of str
        Kinds of signal of the network: those of `pretrained`, then others in training.
    n_steps_ : int
        Number of batches of the run.
    ended_by_ : {"steps", "time"}
        Whether the number of batches or `max_minutes` ended the run.
    held_out_subjects_ : list of str
        People who were held out.
    corpus_ : list of dict
        Hours, people, licence and source of each data set in training.
    n_features_in_, n_chans_, n_times_ : int
        Shape of the windows, if X was an array.

    See Also
    --------
    citrus_sk.ReconstructionDisplay : Plot of the reconstruction of hidden tokens.

    Notes
    -----
    With ``torchrun`` or ``accelerate launch``, each process trains on a part of every batch. The
    loss curve is that of a single process, except for the effects of dropout, `sigreg_weight` and
    the synthetic classes of `episodes`. To resume a run, every process needs access to `run_file`.

    References
    ----------
    Geenjaar, E. and Lu, L. (2025). CiTrus: Squeezing Extra Performance out of Low-data Bio-signal
    Transfer Learning. AAAI. arXiv:2412.11695.

    He, K. et al. (2022). Masked Autoencoders Are Scalable Vision Learners. CVPR.

    Bertinetto, L. et al. (2019). Meta-learning with Differentiable Closed-form Solvers. ICLR.

    Examples
    --------
    >>> import numpy as np
    >>> from citrus_sk import CitrusClassifier, CitrusPretrainer
    >>> recordings = [np.random.default_rng(i).standard_normal((2, 3000)) for i in range(4)]
    >>> pretrainer = CitrusPretrainer(preset="tiny", max_steps=2, random_state=0)
    >>> pretrainer = pretrainer.fit(recordings)
    >>> clf = CitrusClassifier(pretrained=pretrainer)
    """

    __module__ = "citrus_sk"  # pickles and trusted types outlive a move of this file

    def __init__(
        self,
        objective: str = "freq",
        *,
        preset: str = "small",
        pretrained: Any = None,
        masking: str = "latent",
        mask_ratio: float = 0.5,
        run_length: tuple[int, int] = (4, 8),
        frame: int = 128,
        cross_channel: bool = False,
        modalities: Sequence[str] | None = None,
        modality: str | None = None,
        crop: tuple[float, float] = (0.1, 1.5),
        flip: bool = False,
        episodes: float = 0.0,
        episode_weight: float = 0.02,
        episode_classes: Mapping[str, str] | None = None,
        sigreg_weight: float = 0.0,
        unknown: float = 0.5,
        validation_fraction: float = 0.1,
        n_passes: float = 10.0,
        max_steps: int | None = None,
        max_minutes: float | None = None,
        batch_size: int = 64,
        learning_rate: float | str = "auto",
        weight_decay: float = 0.05,
        warmup: float = 0.05,
        ema: float = 0.05,
        precision: str = "auto",
        compile: bool = False,  # noqa: A002 - torch's own word for it
        device: Any = "auto",
        run_file: Any = None,
        save_minutes: float = 5.0,
        resume: bool = False,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.objective = objective
        self.preset = preset
        self.pretrained = pretrained
        self.masking = masking
        self.mask_ratio = mask_ratio
        self.run_length = run_length
        self.frame = frame
        self.cross_channel = cross_channel
        self.modalities = modalities
        self.modality = modality
        self.crop = crop
        self.flip = flip
        self.episodes = episodes
        self.episode_weight = episode_weight
        self.episode_classes = episode_classes
        self.sigreg_weight = sigreg_weight
        self.unknown = unknown
        self.validation_fraction = validation_fraction
        self.n_passes = n_passes
        self.max_steps = max_steps
        self.max_minutes = max_minutes
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.warmup = warmup
        self.ema = ema
        self.precision = precision
        self.compile = compile
        self.device = device
        self.run_file = run_file
        self.save_minutes = save_minutes
        self.resume = resume
        self.random_state = random_state
        self.verbose = verbose

    # --- fitting ---------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, groups: Any = None) -> CitrusPretrainer:
        """Train on recordings without labels.

        Parameters
        ----------
        X : Corpus, path, array-like, list of ndarray, or mne.Epochs
            Recordings: a `Corpus`; files or folders, which `read_corpus` reads; an array or memory
            map of shape (n_windows, n_channels, n_times) or (n_windows, n_times); or a list of
            recordings of shape (n_channels, n_times_i) of unequal lengths.
        y : None
            Not used.
        groups : array-like of shape (n_windows,) or None, default=None
            Person of each window of an array, so that whole people are held out. None treats each
            window as another person.

        Returns
        -------
        CitrusPretrainer
            The pre-trainer itself.
        """
        with all_or_nothing(self), usual_modes(), out_of_memory_hint(self.batch_size):
            self._fit(X, groups, launched_together(self.device))
        return self

    def _fit(self, X: Any, groups: Any, device: torch.device) -> None:
        params = self._params
        check_parameters(params)
        checkpoint = read_checkpoint_to_continue(params)
        device = resolve_device(device)
        for name in _SHAPE:  # of an array in an earlier fit; a corpus has none
            self.__dict__.pop(name, None)
        corpus = self._read(X, groups)
        start = make_start(params, checkpoint, corpus.modalities)
        self._network, self._origin = start.network, start.origin
        self.modalities_ = start.network.modalities
        self._grid_sfreq = corpus.sfreq
        self.corpus_ = corpus.provenance()
        seed = choose_seed(params, device)
        self._task = task_config(params)
        run, self.held_out_subjects_ = pretrain(params, start, corpus, seed, device)
        self.n_steps_, self.ended_by_ = run.step, run.ended_by
        run.model.load_state_dict(run.average)
        self.autoencoder_ = run.model.eval()
        self.history_ = run.history

    def _read(self, X: Any, groups: Any, reset: bool = True) -> Corpus:
        """Read any input as a corpus with the modalities of the parameters."""
        if not reset and not is_corpus_source(X):
            self._read_array(X, ragged=True)  # raises if the windows differ from those of fit
        corpus = as_corpus(
            X, modality=self.modality, subjects=groups, verbose=self.verbose,
            estimator=self if reset else clone(self),
        )  # fmt: skip
        return corpus if self.modalities is None else corpus.select(self.modalities)

    def _read_array(self, X: Any, ragged: bool = False) -> Windows:
        """Read windows like those of `fit`, or any windows if `fit` was called with a corpus."""
        if hasattr(self, "n_chans_"):
            return read_windows(self, X, reset=False, ragged=ragged)
        return read_windows(clone(self), X, reset=True, ragged=ragged)

    # --- use -------------------------------------------------------------------------------------

    def transform(self, X: Any) -> np.ndarray:
        """Compute the features of each window, as `CitrusEmbedder` with these weights does.

        Parameters
        ----------
        X : array-like of shape (n_windows, n_channels, n_times) or (n_windows, n_times), \
or mne.Epochs
            Windows, which should be on the grid of `SignalAligner`.

        Returns
        -------
        ndarray of shape (n_windows, n_features), float32
        """
        check_is_fitted(self)
        with usual_modes(), out_of_memory_hint(self.batch_size):
            windows = self._read_array(X)
            values = to_float32(windows)
            network = self._embedding_network(windows.n_chans)
            return infer(network, values, self._device, self.batch_size, features=True).numpy()

    @usual_modes()
    def score(self, X: Any, y: Any = None) -> float:
        """Compute the negative masked loss, with the same crops and masks in every call.

        Parameters
        ----------
        X : Corpus, path, array-like, list of ndarray, or mne.Epochs
            Recordings, as in `fit`.
        y : None
            Not used.

        Returns
        -------
        float
            Mean of the modalities; higher is better.
        """
        check_is_fitted(self)
        corpus = self._read(X, None, reset=False)
        check_known_modalities(corpus, self.modalities_)
        sampler = make_sampler(self._params, self._network, corpus, 0, self._device)
        return -masked_loss(self.autoencoder_, sampler, self._device)["all"]

    def to_checkpoint(self) -> Checkpoint:
        """Return the weights and their description, as `save` writes them.

        Returns
        -------
        Checkpoint
            Copy of the weights, on the CPU.
        """
        from ..checkpoints.checkpoint import Checkpoint

        check_is_fitted(self)
        state = {k: v.detach().cpu().clone() for k, v in self.autoencoder_.state_dict().items()}
        info = make_info(self._params, vars(self))
        return Checkpoint(self._network, self._task, state, info)

    def save(self, path: Any, *, half: bool = False) -> str:
        """Write the weights to a file for ``pretrained=`` and `load_pretrained`.

        Parameters
        ----------
        path : path-like
            Path of the file, usually with the extension ``.safetensors``.
        half : bool, default=False
            Whether to store the weights as float16, in a file of half the size.

        Returns
        -------
        str
            SHA-256 of the file.
        """
        from ..checkpoints.checkpoint import write_checkpoint

        made = self.to_checkpoint()
        return write_checkpoint(path, made.network, made.task, made.tensors, made.info, half=half)

    @property
    def _params(self) -> SimpleNamespace:
        return with_rate(self.get_params(deep=False))

    @property
    def _device(self) -> torch.device:
        return self.autoencoder_.mask_token.device

    def _embedding_network(self, n_chans: int) -> CitrusNetwork:
        with own_draws(0, torch.device("cpu")) as draws:  # features do not depend on the seed
            network = draws.make(lambda: CitrusNetwork(self._network, n_chans, 1))
        network.trunk = self.autoencoder_.trunk
        return network.to(self._device).eval()

    @property
    def _n_features_out(self) -> int:
        if hasattr(self, "n_chans_"):
            return self._embedding_network(self.n_chans_).n_features
        raise ValueError(
            f"{type(self).__name__} was fitted on a corpus, so the number of channels and the "
            "names of features are unknown. Use CitrusEmbedder(pretrained=pretrainer)."
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags

    _network_attributes = ("autoencoder_",)
    _records: ClassVar = {"_network": NetworkConfig, "_task": TaskConfig}

    def _pack_networks(self) -> dict[str, np.ndarray]:
        return pack(self.autoencoder_)

    def _unpack_networks(self, packed: dict[str, np.ndarray], device: torch.device) -> None:
        self.autoencoder_ = unpack(
            lambda: MaskedAutoencoder(self._network, self._task), packed, device
        )
