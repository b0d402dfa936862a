"""The rule of every known operation. Any other is elementwise, or refused by the interpreter."""

from collections.abc import Mapping
from types import MappingProxyType

from visionlib.summary.operation import Rule
from visionlib.summary.rules import (
    indexing,
    moves,
    pointwise,
    reductions,
    sampling,
    scattering,
    shapes,
    shuffling,
    spatial,
)


def _same(rule: Rule, names: str) -> dict[str, Rule]:
    return dict.fromkeys(names.split(), rule)


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        # Sliding windows and resampling.
        **_same(spatial.convolution, "convolution _convolution convolution_overrideable cudnn_convolution"),
        **_same(spatial.pool(1), "max_pool1d max_pool1d_with_indices avg_pool1d"),
        **_same(spatial.pool(2), "max_pool2d max_pool2d_with_indices mkldnn_max_pool2d avg_pool2d"),
        **_same(spatial.pool(3), "max_pool3d max_pool3d_with_indices mkldnn_max_pool3d avg_pool3d"),
        **_same(spatial.adaptive_pool(1), "adaptive_avg_pool1d adaptive_max_pool1d"),
        **_same(spatial.adaptive_pool(2), "adaptive_avg_pool2d _adaptive_avg_pool2d adaptive_max_pool2d"),
        **_same(spatial.adaptive_pool(3), "adaptive_avg_pool3d _adaptive_avg_pool3d adaptive_max_pool3d"),
        **_same(spatial.pad("constant"), "constant_pad_nd"),
        **_same(spatial.pad("reflect"), "reflection_pad1d reflection_pad2d reflection_pad3d"),
        **_same(spatial.pad("replicate"), "replication_pad1d replication_pad2d replication_pad3d"),
        **_same(spatial.pad("circular"), "_pad_circular"),
        **_same(spatial.upsample(1), "upsample_nearest1d _upsample_nearest_exact1d upsample_linear1d"),
        **_same(
            spatial.upsample(2),
            "upsample_nearest2d _upsample_nearest_exact2d upsample_bilinear2d upsample_bicubic2d "
            "_upsample_bilinear2d_aa _upsample_bicubic2d_aa",
        ),
        **_same(sampling.grid_sample, "grid_sampler_2d grid_sampler_3d"),
        **_same(spatial.upsample(3), "upsample_nearest3d _upsample_nearest_exact3d upsample_trilinear3d"),
        # Views and moved elements.
        **_same(shapes.reshape, "view _unsafe_view reshape _reshape_alias unsqueeze squeeze flatten"),
        **_same(shapes.permute, "permute"),
        **_same(shapes.transpose, "transpose t"),
        **_same(shapes.expand, "expand"),
        **_same(indexing.repeat, "repeat"),
        **_same(indexing.slice_, "slice"),
        **_same(indexing.select, "select"),
        **_same(indexing.split, "split split_with_sizes unsafe_split unsafe_split_with_sizes"),
        **_same(indexing.unbind, "unbind"),
        **_same(indexing.glu, "glu"),
        **_same(indexing.cat, "cat"),
        **_same(indexing.stack, "stack"),
        **_same(indexing.flip, "flip"),
        **_same(indexing.roll, "roll"),
        **_same(indexing.index_select, "index_select"),
        **_same(moves.index, "index"),
        **_same(moves.gather, "gather"),
        **_same(moves.masked_select, "masked_select"),
        **_same(shuffling.pixel_shuffle, "pixel_shuffle"),
        **_same(shuffling.pixel_unshuffle, "pixel_unshuffle"),
        **_same(shuffling.channel_shuffle, "channel_shuffle native_channel_shuffle"),
        **_same(moves.diagonal, "diagonal"),
        **_same(moves.unfold, "unfold"),
        **_same(moves.im2col, "im2col"),
        **_same(moves.col2im, "col2im"),
        **_same(moves.triangle, "tril triu"),
        **_same(scattering.scatter, "index_put scatter scatter_add scatter_reduce slice_scatter select_scatter"),
        # Reductions and products.
        **_same(
            reductions.reduction,
            "sum mean amax amin max min var std var_mean std_mean prod any all argmax argmin logsumexp norm "
            "linalg_vector_norm nansum nanmean median nanmedian mode kthvalue aminmax",
        ),
        **_same(reductions.mix_dimension, "_softmax _log_softmax _safe_softmax sort topk"),
        **_same(reductions.cumulative, "cumsum cumprod cummax cummin logcumsumexp"),
        **_same(reductions.matrix_product, "mm bmm addmm baddbmm"),
        **_same(reductions.distances, "_cdist_forward _euclidean_dist"),
        **_same(reductions.vector_product, "mv dot vdot"),
        **_same(
            reductions.batch_norm,
            "native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training cudnn_batch_norm "
            "miopen_batch_norm _batch_norm_with_update _batch_norm_no_update",
        ),
        **_same(reductions.group_norm, "native_group_norm"),
        **_same(reductions.layer_norm, "native_layer_norm _fused_rms_norm"),
        **_same(
            reductions.attention,
            "_scaled_dot_product_flash_attention _scaled_dot_product_flash_attention_for_cpu "
            "_scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention",
        ),
        **_same(reductions.depend_on_all, "nonzero histc bincount"),
        **_same(reductions.fourier, "_fft_r2c _fft_c2c _fft_c2r"),
        # Elementwise operations with masks, copies and constants.
        **_same(pointwise.add, "add sub"),
        **_same(pointwise.masked_fill, "masked_fill"),
        **_same(pointwise.view_as_real, "view_as_real"),
        **_same(pointwise.view_as_complex, "view_as_complex"),
        **_same(pointwise.where, "where"),
        **_same(pointwise.copy, "copy"),
        **_same(
            pointwise.pointwise,
            "clone detach alias _to_copy lift_fresh native_dropout contiguous "
            "prelu _prelu_kernel bernoulli rrelu_with_noise masked_scatter lerp complex polar resolve_conj resolve_neg "
            "_conj fake_quantize_per_tensor_affine_cachemask fake_quantize_per_channel_affine_cachemask "
            "_fake_quantize_per_tensor_affine_cachemask_tensor_qparams _fake_quantize_learnable_per_tensor_affine "
            "_fake_quantize_learnable_per_channel_affine _fused_moving_avg_obs_fq_helper poisson binomial "
            "_standard_gamma normal_functional rrelu_with_noise_functional _add_relu _masked_scale _neg_view",
        ),
        **_same(
            pointwise.constant,
            "zeros_like ones_like full_like empty_like rand_like randn_like randint_like new_zeros new_ones new_full "
            "new_empty new_empty_strided fill zero normal uniform resize_as",
        ),
    }
)
"""Operation -> rule."""
